#include "report.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "json.hpp"
#include "visits.hpp"

namespace siracusa {
namespace {

constexpr double kClockMhz = 360;          // what the energy model and times in seconds assume

std::string hex(std::uint32_t value) {
    char text[16];
    std::snprintf(text, sizeof text, "0x%08x", value);
    return text;
}

bool executable(Machine &machine, const Core &core, std::uint32_t address) {
    if (address & 1) return false;
    if (core.id == kFabric && address < 0x8000) return false;
    return machine.soc.memory(address - 4, 6) != nullptr && machine.elf.at(address) != nullptr;
}

// True when the instruction before `address` is a call, so that `address` can be a return address.
bool follows_call(Machine &machine, std::uint32_t address) {
    const std::uint8_t *at = machine.soc.memory(address - 4, 4);
    if (at == nullptr) return false;
    std::uint32_t word;
    std::memcpy(&word, at, 4);
    const Fields whole = decode(word), half = decode(word >> 16);
    const auto calls = [](const Fields &f, std::uint8_t length) {
        return f.length == length && (f.op == Op::jal || f.op == Op::jalr) && f.rd == 1;
    };
    return calls(whole, 4) || calls(half, 2);
}

// pc, then ra and what looks like return addresses on the stack.
std::vector<std::uint32_t> backtrace(Machine &machine, const Core &core) {
    constexpr std::size_t kFrames = 8, kStackWords = 256;
    std::vector<std::uint32_t> frames{core.pc};
    const auto push = [&](std::uint32_t address) {
        if (executable(machine, core, address) && follows_call(machine, address) && frames.back() != address && frames.size() < kFrames)
            frames.push_back(address);
    };
    push(core.x[1]);
    for (std::size_t k = 0; k < kStackWords; k++) {
        const std::uint8_t *at = machine.soc.memory(core.x[2] + static_cast<std::uint32_t>(4 * k), 4);
        if (at == nullptr) break;
        std::uint32_t word;
        std::memcpy(&word, at, 4);
        push(word);
    }
    return frames;
}

std::string events_text(std::uint32_t mask) {
    std::string text;
    for (int event = 0; event < 32; event++) {
        if (!(mask >> event & 1)) continue;
        if (!text.empty()) text += ", ";
        text += std::to_string(event);
        const char *name = event == kEventDma ? " (DMA)" : event == kEventNpu ? " (N-EUREKA)" : event == kEventBarrier ? " (barrier)"
                           : event == kEventMutex ? " (mutex)" : event == kEventDispatch ? " (dispatch)" : event < 8 ? " (software)" : "";
        text += name;
    }
    return text.empty() ? "none (its event mask is 0)" : text;
}

std::string cores_text(std::uint32_t mask) {
    std::string text;
    for (int core = 0; core < kClusterCores; core++) {
        if (mask >> core & 1) text += (text.empty() ? "" : ", ") + std::to_string(core);
    }
    return text.empty() ? "none" : text;
}

std::string waits_for(const Soc &soc, const Core &core) {
    const EventUnit &events = soc.events();
    switch (core.waiting) {
        case Waiting::barrier: {
            const std::uint32_t mask = events.barrier_mask(core.waiting_for), arrived = events.barrier_status(core.waiting_for);
            return "barrier " + std::to_string(core.waiting_for) + " (arrived: " + cores_text(arrived) + "; missing: " + cores_text(mask & ~arrived) +
                   "), enabled events: " + events_text(events.mask(core.id));
        }
        case Waiting::mutex: return "mutex " + std::to_string(core.waiting_for) + ", held by core " + std::to_string(events.mutex_owner(core.waiting_for));
        case Waiting::dispatch: return "the dispatch queue";
        case Waiting::dma_counter: return "a free DMA counter (none was freed by storing to STATUS)";
        case Waiting::dma_queue: return "space in its DMA queue";
        case Waiting::interrupt: return "an interrupt (wfi)";
        default: return "events " + events_text(events.mask(core.id)) + "; in its buffer: " + hex(events.buffer(core.id));
    }
}

std::string fault_report(Machine &machine) {
    const Soc &soc = machine.soc;
    const Fault &fault = soc.fault();
    std::string text = soc.fault_text();
    if (fault.core < 0) return text + ": address " + hex(fault.address) + " at cycle " + std::to_string(soc.cycles()) + "\n";
    const Core &core = soc.core(fault.core);
    text += std::strcmp(fault.what, "illegal instruction") == 0 ? " " + hex(fault.address) : ": address " + hex(fault.address);
    text += "\n  " + core_name(fault.core) + ", pc " + hex(fault.pc) + " in " + machine.elf.describe(fault.pc) + ", cycle " + std::to_string(soc.cycles()) + "\n";
    const auto frames = backtrace(machine, core);
    for (std::size_t k = 1; k < frames.size(); k++) text += "  called from " + hex(frames[k]) + " in " + machine.elf.describe(frames[k]) + "\n";
    return text;
}

std::string deadlock_report(Machine &machine) {
    std::string text = "deadlock: every core sleeps and nothing is pending, cycle " + std::to_string(machine.soc.cycles()) + "\n";
    for (int id = 0; id < kCores; id++) {
        const Core &core = machine.soc.core(id);
        if (core.state != CoreState::asleep) continue;
        text += "  " + core_name(id) + " at " + machine.elf.describe(core.pc) + " waits for " + waits_for(machine.soc, core) + "\n";
    }
    return text;
}

std::string limit_report(Machine &machine) {
    std::string text = "stopped after " + std::to_string(machine.soc.cycles()) + " cycles\n";
    for (int id = 0; id < kCores; id++) {
        const Core &core = machine.soc.core(id);
        if (core.state == CoreState::off) continue;
        text += "  " + core_name(id) + (core.state == CoreState::asleep ? " sleeps" : " runs") + " at " + machine.elf.describe(core.pc);
        if (core.state == CoreState::asleep) text += ", waits for " + waits_for(machine.soc, core);
        text += "\n";
    }
    return text;
}

double total_energy(const std::vector<EnergyTerm> &terms) {
    double sum = 0;
    for (const EnergyTerm &term : terms) sum += term.microjoule;
    return sum;
}

std::uint64_t total_instructions(const Activity &activity) {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : activity.instructions) sum += count;
    return sum;
}

const char *ending_name(Ending ending) {
    switch (ending) {
        case Ending::exited: return "exit";
        case Ending::fault: return "fault";
        case Ending::deadlock: return "deadlock";
        case Ending::cycle_limit: return "cycle limit";
        default: return "running";
    }
}

std::string cores_json(Machine &machine, const Activity &activity) {
    static const char *const kNames[kEvents] = {"cycles", "instructions", "load_stalls", "jump_stalls", "fetch_stalls", "loads",
                                                "stores", "jumps", "branches", "taken_branches", "compressed", "event_loads"};
    JsonArray cores;
    for (int id = 0; id < kCores; id++) {
        const Core &core = machine.soc.core(id);
        if (core.state == CoreState::off && core.n[kInstructions] == 0) continue;
        JsonObject entry;
        entry.field("core", core_name(id)).field("asleep", activity.asleep[static_cast<std::size_t>(id)]).field("pc", machine.elf.describe(core.pc));
        for (std::size_t k = 0; k < kEvents; k++) entry.field(kNames[k], core.n[k]);
        cores.add(entry.str());
    }
    return cores.str();
}

}  // namespace

std::string core_name(int core) { return core == kFabric ? "fabric controller" : "core " + std::to_string(core); }

std::string ending_report(Machine &machine) {
    switch (machine.soc.ending()) {
        case Ending::fault: return fault_report(machine);
        case Ending::deadlock: return deadlock_report(machine);
        case Ending::cycle_limit: return limit_report(machine);
        default: return "";
    }
}

std::string summary(const Machine &machine, const std::vector<EnergyConstant> &constants) {
    const Activity activity = machine.soc.activity();
    char text[200];
    std::snprintf(text, sizeof text, "%llu cluster cycles, %llu instructions, %.4g uJ (model, at %.0f MHz)",
                  static_cast<unsigned long long>(activity.cycles), static_cast<unsigned long long>(total_instructions(activity)),
                  total_energy(energy(activity, constants)), kClockMhz);
    return text;
}

std::string energy_json(const std::vector<EnergyTerm> &terms) {
    JsonArray breakdown;
    for (const EnergyTerm &term : terms) {
        JsonObject entry;
        entry.field("name", term.name).field("amount", term.amount).field("uj", term.microjoule).field("share", term.share);
        entry.field("total_uj_if_halved", term.total_if_halved).field("total_uj_if_doubled", term.total_if_doubled);
        breakdown.add(entry.str());
    }
    return breakdown.str();
}

std::string json_report(Machine &machine, const Options &options, const std::vector<EnergyConstant> &constants, double cpu_seconds, const Visits *visits) {
    const Soc &soc = machine.soc;
    const Activity activity = soc.activity();
    const std::vector<EnergyTerm> terms = energy(activity, constants);
    JsonArray used;
    for (const EnergyConstant &constant : constants) {
        JsonObject entry;
        entry.field("name", constant.name).field("pj", constant.picojoule).field("per", constant.unit).field("source", constant.source);
        used.add(entry.str());
    }
    JsonObject report;
    report.field("ok", soc.ending() == Ending::exited && soc.exit_code() == 0).field("ending", ending_name(soc.ending()));
    report.field("exit_code", soc.exit_code()).field("timing", options.timing == Timing::chip ? "chip" : "gvsoc");
    const std::string problem = ending_report(machine);
    if (!problem.empty()) report.field("error", problem);
    report.field("cycles", activity.cycles).field("instructions", total_instructions(activity)).field("clock_mhz", kClockMhz);
    report.field("energy_uj", total_energy(terms)).field("energy_is", "a model").raw("energy", energy_json(terms)).raw("energy_constants", used.str());
    report.field("dma_bytes", activity.dma_bytes).field("npu_busy_cycles", activity.npu_busy).field("npu_macs", activity.npu_macs_raw);
    report.field("weight_words", activity.weight_words).field("l1_accesses", soc.l1_banks().accesses());
    report.field("l1_conflict_cycles", soc.l1_banks().conflict_cycles()).field("icache_l1_misses", soc.cluster_cache().shared_misses());
    report.raw("cores", cores_json(machine, activity)).field("host_cpu_seconds", cpu_seconds);
    if (visits != nullptr) report.raw("visits", visits->json(constants));
    return report.str();
}

int exit_status(const Machine &machine) {
    if (machine.soc.ending() != Ending::exited) return 3;
    const std::uint32_t code = machine.soc.exit_code();
    return code != 0 && (code & 255) == 0 ? 255 : static_cast<int>(code & 255);
}

}  // namespace siracusa
