#include "perfetto.hpp"

#include "clocks.hpp"
#include "json.hpp"

namespace siracusa {
namespace {
constexpr int kSleepThreads = 20, kDmaIn = 40, kDmaOut = 41, kNpu = 42;

Cycle now_of(const Core &core) { return core.id == kFabric ? cluster_cycle(core.next) : core.next; }
}  // namespace

Timeline::Timeline(std::FILE *file, const Elf &elf) : file_(file), elf_(elf) {
    std::fputs("{\"displayTimeUnit\": \"ns\", \"traceEvents\": [\n", file_);
    const auto name = [&](int thread, const std::string &text) {
        std::fprintf(file_, "%s{\"ph\": \"M\", \"pid\": 1, \"tid\": %d, \"name\": \"thread_name\", \"args\": {\"name\": %s}}", first_event_ ? "" : ",\n", thread,
                     json_string(text).c_str());
        first_event_ = false;
    };
    for (int id = 0; id < kCores; id++) {
        const std::string core = id == kFabric ? "fabric controller" : "core " + std::to_string(id);
        name(id, core);
        name(kSleepThreads + id, core + " asleep");
    }
    name(kDmaIn, "DMA to L1");
    name(kDmaOut, "DMA from L1");
    name(kNpu, "N-EUREKA");
}

void Timeline::span(int thread, const std::string &name, Cycle begin, Cycle end, const std::string &arguments) {
    std::fprintf(file_, ",\n{\"ph\": \"X\", \"pid\": 1, \"tid\": %d, \"name\": %s, \"ts\": %llu, \"dur\": %llu%s}", thread, json_string(name).c_str(),
                 static_cast<unsigned long long>(begin), static_cast<unsigned long long>(end - begin), arguments.c_str());
}

void Timeline::close(int core, Cycle end) {
    Track &track = tracks_[static_cast<std::size_t>(core)];
    if (!track.open) return;
    span(core, track.symbol != nullptr ? track.symbol->name : "(no symbol)", track.begin, end);
    track.open = false, track.first = 1, track.last = 0;
}

void Timeline::before(const Core &core, const Insn &) {
    Track &track = tracks_[static_cast<std::size_t>(core.id)];
    if (track.open && core.pc - track.first <= track.last - track.first) return;
    const Symbol *symbol = elf_.at(core.pc);
    if (track.open && symbol == track.symbol) return;
    close(core.id, now_of(core));
    track.symbol = symbol, track.begin = now_of(core), track.open = true;
    track.first = symbol != nullptr ? symbol->address : core.pc;
    track.last = symbol != nullptr && symbol->size != 0 ? symbol->address + symbol->size - 1 : core.pc;
}

void Timeline::slept(const Core &core, Cycle begin, Cycle end) {
    close(core.id, core.id == kFabric ? cluster_cycle(begin) : begin);
    span(kSleepThreads + core.id, "asleep", begin, end);
}

// Transfers of one direction are served one after the other: a queued one begins when its predecessor has ended.
void Timeline::dma(Cycle begin, Cycle end, bool to_l1, std::uint32_t bytes) {
    Cycle &served = dma_served_[to_l1 ? 0 : 1];
    begin = begin > served ? begin : served < end ? served : end;
    served = end;
    span(to_l1 ? kDmaIn : kDmaOut, std::to_string(bytes) + " bytes", begin, end, ", \"args\": {\"bytes\": " + std::to_string(bytes) + "}");
}

void Timeline::npu(Cycle, Cycle begin, Cycle end, const std::string &what) { span(kNpu, what, begin, end); }

void Timeline::finish(const Soc &soc) {
    for (int id = 0; id < kCores; id++) {
        const Core &core = soc.core(id);
        const bool asleep = core.state == CoreState::asleep && id != kFabric && core.slept_at < soc.cycles();
        close(id, asleep ? core.slept_at : soc.cycles());
        if (asleep) span(kSleepThreads + id, "asleep", core.slept_at, soc.cycles());
    }
    std::fputs("\n]}\n", file_);
}

}  // namespace siracusa
