#include "profile.hpp"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "json.hpp"

namespace siracusa {
namespace {
const char *const kKindNames[] = {"alu", "multiply", "simd", "dot", "load", "store", "branch", "jump", "float", "system"};
}

Profiler::Kind Profiler::kind(Op op) {
    const std::string name = info(op).mnemonic;
    const auto starts = [&](const char *prefix) { return name.rfind(prefix, 0) == 0; };
    switch (info(op).form) {
        case Form::load: case Form::load_post: case Form::load_reg: case Form::load_post_reg: case Form::f_load: return kLoad;
        case Form::store: case Form::store_post: case Form::store_reg: case Form::store_post_reg: case Form::f_store: return kStore;
        case Form::branch: case Form::branch_imm: return kBranch;
        case Form::jal: return kJump;
        case Form::fr: case Form::fr1: case Form::fr4: case Form::f_to_x: case Form::x_to_f: case Form::f_cmp: return kFloat;
        case Form::csr: case Form::csr_imm: case Form::none: return kSystem;
        case Form::mlsdot: return kDot;
        default: break;
    }
    if (op == Op::jalr) return kJump;
    if (starts("pv.dot") || starts("pv.sdot")) return kDot;
    if (starts("pv.")) return kSimd;
    if (starts("mul") || starts("div") || starts("rem") || starts("p.mul") || starts("p.mac") || starts("p.msu")) return kMultiply;
    return kAlu;
}

Profiler::Entry &Profiler::entry(const Core &core) {
    Entry *&found = by_pc_[core.pc];
    if (found == nullptr) {
        const Symbol *symbol = elf_.at(core.pc);
        found = &entries_[symbol != nullptr ? symbol->name : elf_.symbols.empty() ? elf_.describe(core.pc & ~255u) : "(no symbol)"];
    }
    return *found;
}

void Profiler::after(const Core &core, const Insn &insn, std::uint32_t stall, std::uint32_t fetch, std::uint32_t hazard) {
    Entry &e = entry(core);
    const Kind what = kind(insn.op);
    e.instructions++, e.cycles += 1 + stall, e.fetch += fetch, e.hazard += hazard, e.mix[what]++;
    const std::uint32_t own = stall - fetch - hazard;
    (what == kLoad || what == kStore ? e.memory : what == kBranch || what == kJump ? e.branch : e.arithmetic) += own;
}

void Profiler::slept(const Core &core, Cycle begin, Cycle end) { entry(core).asleep += end - begin; }

std::string Profiler::text() const {
    std::vector<const std::pair<const std::string, Entry> *> sorted;
    std::uint64_t total = 0;
    for (const auto &item : entries_) {
        sorted.push_back(&item);
        total += item.second.cycles;
    }
    std::sort(sorted.begin(), sorted.end(), [](auto a, auto b) { return a->second.cycles > b->second.cycles; });
    std::string out = "symbol                           cycles    share instructions  fetch  hazard  memory  branch   arith    asleep  mix\n";
    for (const auto *item : sorted) {
        const Entry &e = item->second;
        char line[256];
        std::snprintf(line, sizeof line, "%-28.28s %10llu %7.2f%% %12llu %6llu %7llu %7llu %7llu %7llu %9llu ", item->first.c_str(),
                      static_cast<unsigned long long>(e.cycles), 100.0 * static_cast<double>(e.cycles) / static_cast<double>(std::max<std::uint64_t>(total, 1)),
                      static_cast<unsigned long long>(e.instructions), static_cast<unsigned long long>(e.fetch), static_cast<unsigned long long>(e.hazard),
                      static_cast<unsigned long long>(e.memory), static_cast<unsigned long long>(e.branch), static_cast<unsigned long long>(e.arithmetic),
                      static_cast<unsigned long long>(e.asleep));
        out += line;
        for (std::size_t k = 0; k < kKinds; k++) {
            const double share = 100.0 * static_cast<double>(e.mix[k]) / static_cast<double>(std::max<std::uint64_t>(e.instructions, 1));
            if (share < 1) continue;
            std::snprintf(line, sizeof line, " %s %.0f%%", kKindNames[k], share);
            out += line;
        }
        out += "\n";
    }
    return out;
}

std::string Profiler::json() const {
    JsonArray all;
    for (const auto &[name, e] : entries_) {
        JsonObject mix, row;
        for (std::size_t k = 0; k < kKinds; k++) mix.field(kKindNames[k], e.mix[k]);
        row.field("symbol", name).field("cycles", e.cycles).field("instructions", e.instructions).field("fetch", e.fetch).field("hazard", e.hazard);
        row.field("memory", e.memory).field("branch", e.branch).field("arithmetic", e.arithmetic).field("asleep", e.asleep).raw("mix", mix.str());
        all.add(row.str());
    }
    return all.str();
}

}  // namespace siracusa
