#include "soc.hpp"

#include <algorithm>
#include <cstring>

#include "exec.hpp"

namespace siracusa {

// Memories power up with the pattern of the reference simulator.
constexpr std::uint8_t kPowerUp = 0x57;

// Latencies of the paths that instruction lines take: interconnects add fixed delays.
constexpr std::uint32_t kFabricFetchPath = 5, kL2FetchPath = 14, kWmemFetchPath = 4, kL1FetchPath = 2;

Soc::Soc(const Options &options)
    : options_(options), l1_(kL1Size, kPowerUp), l2_(kL2Size, kPowerUp), wmem_(kWmemSize, kPowerUp), tcdm_(l1_.data()), l2_banks_(options.timing), events_(*this),
      dma_(*this, options.timing, events_queued_), npu_(*this, options.timing), soc_registers_(kSocPeripheralsSize / 4) {
    for (int id = 0; id < kCores; id++) {
        Core &core = core_at(id);
        core.id = id, core.soc = this, core.chip = options.timing == Timing::chip;
        if (id != kFabric) core.tcdm = &tcdm_, core.l1 = l1_.data();
    }
}

void Soc::start(std::uint32_t entry) {
    Core &core = core_at(kFabric);
    core.pc = entry, core.next = 0, core.state = CoreState::running;
}

std::uint8_t *Soc::memory(std::uint32_t address, std::uint32_t bytes) {
    const auto inside = [&](std::uint32_t base, std::uint32_t size) { return address - base < size && bytes <= size - (address - base); };
    if (inside(kL1Base, kL1Size)) return l1_.data() + (address - kL1Base);
    if (inside(kL2Base, kL2Size)) return l2_.data() + (address - kL2Base);
    if (inside(kWmemBase, kWmemSize)) return wmem_.data() + (address - kWmemBase);
    return nullptr;
}

Cycle Soc::cluster_time(const Core &core) const {
    return core.id == kFabric ? cluster_cycle(core.next) : core.next;
}

// Service order: who wakes goes to the head.
void Soc::front(int core) {
    leave(core);
    for (int k = running_; k > 0; k--) order_[static_cast<std::size_t>(k)] = order_[static_cast<std::size_t>(k - 1)];
    order_[0] = core;
    running_++;
    attention_ = true;
}
void Soc::leave(int core) {
    const auto end = order_.begin() + running_;
    const auto found = std::find(order_.begin(), end, core);
    if (found == end) return;
    std::copy(found + 1, end, found);
    running_--;
    attention_ = true;
}

// --- one instruction

// What the memory behind the cluster's caches takes for a line.
std::uint32_t Soc::fetch_path(std::uint32_t line, Cycle now) {
    if (line - kL2Base < kL2Size) return kL2FetchPath + l2_banks_.from_cluster(line - kL2Base, 16, now);
    return line - kWmemBase < kWmemSize ? kWmemFetchPath : kL1FetchPath;
}

// The fetch buffer holds one line; its latency is paid after the instruction, before the next one.
void Soc::fill(Core &core, std::uint32_t line) {
    std::uint32_t latency;
    if (core.id == kFabric) {
        latency = fabric_cache_.fetch(line, core.next, [] { return kFabricFetchPath; });
    } else {
        latency = cluster_cache_.fetch(core.id, line, core.next, [&] { return fetch_path(map_alias(core, line), core.next); });
    }
    core.line = line;
    core.stall += latency;
    core.n[kFetchStall] += latency;
}

void Soc::enter_page(Core &core) {
    const std::uint32_t address = map_alias(core, core.pc);
    core.code = code_.page(address);
    if (core.code == nullptr) {
        core.page = 1;
        throw Fault{core.id, core.pc, core.pc, "jump outside the memories"};
    }
    core.page = core.pc & ~(CodeCache::kPage - 1);
}

void Soc::decode_at(Core &core, Insn &insn) {
    const std::uint32_t address = map_alias(core, core.pc);
    std::uint32_t word = 0;
    std::memcpy(&word, memory(address, 2), 2);
    if ((word & 3) == 3) {
        const std::uint8_t *high = memory(address + 2, 2);
        if (high == nullptr) throw Fault{core.id, core.pc, core.pc, "jump outside the memories"};
        std::uint16_t upper;
        std::memcpy(&upper, high, 2);
        word |= std::uint32_t{upper} << 16;
        code_.page(address + 2);               // so that a store to the second half is noticed
    }
    const Fields fields = decode(word, options_.xpulpnn);
    if (fields.op == Op::illegal) throw Fault{core.id, core.pc, word, "illegal instruction"};
    insn = prepare(fields);
}

bool Soc::is_long(const Core &core, std::uint32_t address) {
    const std::uint8_t *at = memory(map_alias(core, address), 2);
    return at != nullptr && (*at & 3) == 3;
}

template <bool Observed>
inline void Soc::step(Core &c) {
    const std::uint32_t pc = c.pc;
    c.stall = 0;
    if ((pc & ~15u) != c.line) [[unlikely]] fill(c, pc & ~15u);
    if ((pc & 15) == 14) [[unlikely]] fill(c, (pc & ~15u) + 16);
    if ((pc & ~(CodeCache::kPage - 1)) != c.page) [[unlikely]] enter_page(c);
    Insn &insn = c.code[(pc & (CodeCache::kPage - 1)) >> 1];
    if (insn.execute == nullptr) [[unlikely]] decode_at(c, insn);
    const std::uint32_t fetch = c.stall;
    if (c.late & insn.uses) {
        const Cycle ready = c.next + c.stall;
        if (c.late_at > ready) {
            c.n[kLoadStall] += (c.late_at - ready) * c.late_counts;
            c.stall += static_cast<std::uint32_t>(c.late_at - ready);
        }
    }
    const std::uint32_t hazard = c.stall - fetch;
    c.late = 0;
    if constexpr (Observed) observer->before(c, insn);
    const Insn observed = Observed ? insn : Insn{};
    const std::uint8_t length = insn.length, written = insn.writes;
    std::uint32_t next = insn.execute(c, insn);
    if (pc == c.loop_end[0] || pc == c.loop_end[1]) [[unlikely]] {
        for (std::size_t k = 0; k < 2; k++) {
            if (pc != c.loop_end[k] || c.loop_count[k] == 0) continue;
            if (--c.loop_count[k] != 0) {
                next = c.loop_start[k] & ~1u;
                break;
            }
        }
    }
    c.n[kInstructions]++;
    c.n[kCycles] += 1 + c.stall;
    if (length == 2) c.n[kCompressed]++;
    c.just_written = written;
    if constexpr (Observed) observer->after(c, observed, c.stall, fetch, hazard);
    c.pc = next;
    if (c.state == CoreState::running) [[likely]] {
        c.next += 1 + c.stall;
    } else {
        resume(c);
    }
}

// After an instruction that put its core to sleep: waits for wake(), which may already have come.
void Soc::resume(Core &c) {
    attention_ = true;
    if (c.waiting != Waiting::dma_counter && c.waiting != Waiting::dma_queue && c.waiting != Waiting::interrupt) c.n[kCycles] += 2;
    c.slept_at = c.next;
    const Cycle woken = c.woken_at;
    c.next = kNever;
    if (c.id != kFabric) leave(c.id);
    if (woken != kNever) {
        executing_ = nullptr;
        wake(c.id, woken, c.wake_value);
    }
}

void Soc::fall_asleep(Core &core, Waiting why, std::uint32_t what, std::uint64_t reg_bit) {
    core.state = CoreState::asleep, core.waiting = why, core.waiting_for = what;
    core.wake_register = reg_bit == 0 || reg_bit > 0xffffffffu ? 32 : static_cast<std::uint8_t>(__builtin_ctzll(reg_bit));
}

// The clock is back two cycles after the event; then the rest of the load's own time passes.
void Soc::wake(int id, Cycle now, std::uint32_t value) {
    Core &c = core_at(id);
    if (executing_ == &c) {                  // the event came while the core was still executing its load
        c.woken_at = now, c.wake_value = value;
        return;
    }
    const bool clock_gated = c.waiting != Waiting::dma_counter && c.waiting != Waiting::dma_queue;
    c.x[c.wake_register] = value;
    c.state = CoreState::running, c.waiting = Waiting::nothing, c.woken_at = kNever;
    c.next = now + 1 + c.stall + (clock_gated ? 2 : 0);
    const Cycle awake = 1 + c.stall + (clock_gated ? 2 : 0);
    if (c.next - c.slept_at > awake) c.asleep += c.next - c.slept_at - awake;
    if (observer != nullptr) observer->slept(c, c.slept_at, c.next);
    if (id != kFabric) front(id);
    else attention_ = true;
}

void Soc::wait_for_interrupt(Core &core) {
    if (core.id == kFabric && (interrupt_mask_ & interrupt_status_)) return;
    fall_asleep(core, Waiting::interrupt, interrupt_mask_, 0);
}

// Four units shared by core number modulo four; one divider for the cluster.
void Soc::fpu(Core &core) {
    if (core.id == kFabric) throw Fault{core.id, core.pc, core.pc, "float instruction, but the fabric controller has no FPU"};
    Cycle &free = fpu_free_[static_cast<std::size_t>(core.id & 3)];
    const Cycle start = std::max(free, core.next);
    core.stall += static_cast<std::uint32_t>(start - core.next);
    free = start + 1;
}
void Soc::fpu_divide(Core &core) {
    if (core.id == kFabric) throw Fault{core.id, core.pc, core.pc, "float instruction, but the fabric controller has no FPU"};
    constexpr std::uint32_t kDivision = 14;
    const Cycle start = std::max(divider_free_, core.next);
    core.stall += static_cast<std::uint32_t>(start - core.next) + kDivision - 1;
    divider_free_ = start + kDivision;
}

void Soc::unknown_csr(const Core &core, std::uint32_t csr) {
    if (warned_csr_ || !warning) return;
    warned_csr_ = true;
    char text[96];
    std::snprintf(text, sizeof text, "core %d reads or writes CSR 0x%03x, which is not modelled (reads give 0)", core.id, csr);
    warning(text);
}

// --- the clock

Cycle Soc::engines_next() const { return std::min({dma_.next(), npu_.next(), cluster_timer_.next()}); }

// N-EUREKA's place in the queue of events changes whenever it asks for another cycle.
void Soc::npu_asked() {
    if (npu_.next() == npu_next_) return;
    npu_next_ = npu_.next();
    npu_place_ = ++events_queued_;
}

void Soc::run_engines() {
    while (std::min(dma_.next(), npu_.next()) <= now_) {
        const bool npu = npu_.next() <= now_ && (dma_.next() > now_ || npu_place_ < dma_.next_place());
        if (npu) {
            npu_.step(now_);
            npu_asked();
        } else {
            dma_.step(now_);
        }
    }
    if (cluster_timer_.next() <= now_) {
        const std::uint32_t events = cluster_timer_.step(now_);
        if (events & 1) events_.raise(10, 0, now_);
        if (events & 2) events_.raise(11, 0, now_);
    }
}

// One core runs on while nothing else is due.
template <bool Observed>
void Soc::run_alone(Core &core, Cycle limit) {
    attention_ = false;
    executing_ = &core;
    do {
        step<Observed>(core);
    } while (core.next < limit && !attention_);
    executing_ = nullptr;
}

template <bool Observed>
void Soc::run_until_stopped() {
    Core &fabric = core_at(kFabric);
    const Cycle cycle_limit = limit_;
    while (ending_ == Ending::running) {
        Cycle nearest = kNever;
        for (int k = 0; k < running_; k++) nearest = std::min(nearest, core_at(order_[static_cast<std::size_t>(k)]).next);
        const Cycle engines = engines_next();
        const Cycle due = std::min(nearest, engines);
        const Cycle fabric_due = fabric.next == kNever ? kNever : cluster_time(fabric);
        if (std::min(due, fabric_due) >= cycle_limit) {
            const bool never = std::min(due, fabric_due) == kNever;
            if (!never) now_ = cycle_limit;
            ending_ = never ? Ending::deadlock : Ending::cycle_limit;
            break;
        }
        if (fabric_due <= due) {
            now_ = std::max(now_, fabric_due);
            const Cycle limit = std::min(due, cycle_limit);
            run_alone<Observed>(fabric, limit == kNever ? fabric.next + 4096 : soc_cycle(limit) + 1);
            continue;
        }
        now_ = due;
        if (running_ == 1 && nearest < engines) {
            run_alone<Observed>(core_at(order_[0]), std::min({engines, fabric_due, cycle_limit}));
            continue;
        }
        // Cores first, in order; who sleeps or wakes in this cycle does not run again in it.
        const auto order = order_;
        const int running = running_;
        for (int k = 0; k < running && ending_ == Ending::running; k++) {
            Core &core = core_at(order[static_cast<std::size_t>(k)]);
            if (core.next != now_) continue;
            executing_ = &core;
            step<Observed>(core);
            executing_ = nullptr;
        }
        if (engines_next() <= now_) run_engines();
    }
}

Ending Soc::run(Cycle cycles) {
    if (ending_ != Ending::running && ending_ != Ending::cycle_limit) return ending_;
    ending_ = Ending::running;
    limit_ = cycles != 0 ? now_ + cycles : options_.max_cycles != 0 ? options_.max_cycles : kNever;
    try {
        if (observer != nullptr) run_until_stopped<true>();
        else run_until_stopped<false>();
    } catch (const Fault &fault) {
        ending_ = Ending::fault;
        fault_ = fault;
        if (fault_text_.empty()) fault_text_ = fault.what;
        if (fault.core >= 0) now_ = std::max(now_, cluster_time(core_at(fault.core)));
    }
    flush_output();
    return ending_;
}

Activity Soc::activity() const {
    Activity a;
    a.cycles = now_;
    for (std::size_t id = 0; id < kCores; id++) {
        const Core &core = cores_[id];
        a.instructions[id] = core.n[kInstructions];
        a.awake[id] = core.n[kCycles];
        a.asleep[id] = core.asleep;
        if (core.state == CoreState::asleep && id != kFabric && now_ > core.slept_at) a.asleep[id] += now_ - core.slept_at;
    }
    a.dma_bytes = dma_.bytes();
    const NeurekaCounters &npu = npu_.counters();
    a.npu_busy = npu.busy, a.npu_macs = npu.macs, a.npu_macs_raw = npu.macs_raw, a.weight_words = npu.weight_words;
    return a;
}

}  // namespace siracusa
