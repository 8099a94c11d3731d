#include "visits.hpp"

#include "json.hpp"
#include "report.hpp"

namespace siracusa {
namespace {
constexpr int kReturn = 1, kStack = 2;        // registers

Activity between(const Activity &first, Activity last) {
    last.cycles -= first.cycles;
    for (std::size_t id = 0; id < kCores; id++) {
        last.awake[id] -= first.awake[id], last.asleep[id] -= first.asleep[id], last.instructions[id] -= first.instructions[id];
    }
    last.dma_bytes -= first.dma_bytes, last.npu_busy -= first.npu_busy, last.npu_macs -= first.npu_macs;
    last.npu_macs_raw -= first.npu_macs_raw, last.weight_words -= first.weight_words, last.external_bytes -= first.external_bytes;
    return last;
}
}  // namespace

Visits::Visits(const Soc &soc, const Elf &elf, const std::vector<std::string> &functions) : soc_(soc), elf_(elf) {
    for (const std::string &name : functions) {
        const Symbol *symbol = elf.find(name);
        if (symbol != nullptr) functions_.push_back({symbol});
    }
}

void Visits::enter(Place &place, const Core &core) {
    for (Function &function : functions_) {
        if (core.pc != function.symbol->address) continue;
        place = {&function, core.x[kReturn], core.x[kStack], false, 0, 0};
        function.visits[static_cast<std::size_t>(core.id)] = {core.next, 0, {}};
        if (core.id == 0) function.transfers.clear(), function.jobs.clear(), function.at_begin = soc_.activity();
    }
}

void Visits::leave(Place &place, const Core &core) {
    place.function->visits[static_cast<std::size_t>(core.id)].end = core.next;
    if (core.id == 0) place.function->at_end = soc_.activity();
    place.function = nullptr;
}

void Visits::before(const Core &core, const Insn &) {
    if (core.id >= kClusterCores) return;
    Place &place = places_[static_cast<std::size_t>(core.id)];
    if (place.function == nullptr) return enter(place, core);
    std::vector<Call> &calls = place.function->visits[static_cast<std::size_t>(core.id)].calls;
    if (place.calling) {
        if (core.pc != place.call_back || core.x[kStack] != place.call_stack) return;
        place.calling = false;
        calls.back().end = core.next;
    }
    const Symbol &self = *place.function->symbol;
    if (core.pc - self.address < self.size) return;
    if (core.pc == place.back && core.x[kStack] == place.stack) {
        leave(place, core);
        return enter(place, core);
    }
    place.calling = true, place.call_back = core.x[kReturn], place.call_stack = core.x[kStack];
    calls.push_back({elf_.at(core.pc), core.next, 0});
}

void Visits::dma(Cycle begin, Cycle end, bool to_l1, std::uint32_t bytes) {
    if (places_[0].function != nullptr) places_[0].function->transfers.push_back({begin, end, to_l1, bytes});
}

void Visits::npu(Cycle asked, Cycle begin, Cycle end, const std::string &) {
    if (places_[0].function != nullptr) places_[0].function->jobs.push_back({asked, begin, end});
}

std::string Visits::json(const std::vector<EnergyConstant> &constants) const {
    JsonArray functions;
    for (const Function &function : functions_) {
        JsonArray visits, transfers, jobs;
        for (std::size_t core = 0; core < kClusterCores; core++) {
            const Visit &visit = function.visits[core];
            if (visit.end == 0) continue;
            JsonArray calls;
            for (const Call &call : visit.calls) {
                calls.add("[" + json_string(call.symbol != nullptr ? call.symbol->name : "") + ", " + std::to_string(call.begin) + ", " + std::to_string(call.end) + "]");
            }
            JsonObject entry;
            entry.field("core", static_cast<int>(core)).field("begin", visit.begin).field("end", visit.end).raw("calls", calls.str());
            visits.add(entry.str());
        }
        for (const Transfer &t : function.transfers) {
            transfers.add("[" + std::to_string(t.begin) + ", " + std::to_string(t.end) + ", " + (t.to_l1 ? "true" : "false") + ", " + std::to_string(t.bytes) + "]");
        }
        for (const auto &[asked, begin, end] : function.jobs) {
            jobs.add("[" + std::to_string(asked) + ", " + std::to_string(begin) + ", " + std::to_string(end) + "]");
        }
        JsonObject entry;
        entry.field("function", function.symbol->name).raw("visits", visits.str());
        if (function.visits[0].end != 0) {
            const auto terms = energy(between(function.at_begin, function.at_end), constants);
            entry.raw("transfers", transfers.str()).raw("jobs", jobs.str()).raw("energy", energy_json(terms));
        }
        functions.add(entry.str());
    }
    return functions.str();
}

}  // namespace siracusa
