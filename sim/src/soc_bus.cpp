// The address map: who answers a load or store, and how long it takes.
#include <algorithm>
#include <cstring>

#include "soc.hpp"

namespace siracusa {
namespace {

// Latencies in cycles of the core that asks, itself included (FACTS part 2, 1.2): interconnects add fixed delays.
constexpr std::uint32_t kClusterInterconnect = 2, kAxi = 12, kApb = 8, kWmemRouter = 2;

constexpr std::uint32_t kTestAndSet = 0x10100000, kPeripherals = 0x10200000, kDemuxEvents = 0x10204000, kDemuxDma = 0x10204400;
constexpr std::uint32_t kRom = 0x1a000000, kRomSize = 0x2000, kSocPeripherals = 0x1a100000;
constexpr std::uint32_t kStdout = 0x1a10f000, kExit = 0x1a1040a0, kFabricTimer = 0x1a10b000, kFabricCache = 0x1a108800, kInterrupts = 0x1a109800;

constexpr bool within(std::uint32_t address, std::uint32_t base, std::uint32_t size) { return address - base < size; }

}  // namespace

std::uint32_t Soc::map_alias(const Core &core, std::uint32_t address) const {
    if (core.id == kFabric) return address < 0x8000 ? kL2Base + address : address;
    if (address < kL1Size || within(address, 0x00100000, kL1Size) || within(address, 0x00200000, 0x200000)) return address + kL1Base;
    return address;
}

void Soc::bad_access(const Core &core, std::uint32_t address, bool write) {
    throw Fault{core.id, core.pc, address, write ? "store outside the memory map" : "load outside the memory map"};
}

Soc::Access Soc::memory_access(std::uint8_t *bytes, std::uint32_t address, std::uint32_t size, bool write, std::uint32_t value, std::uint32_t latency) {
    Access result{.latency = latency};
    if (write) {
        std::memcpy(bytes, &value, size);
        code_.changed(address, size);
    } else {
        std::memcpy(&result.value, bytes, size);
    }
    return result;
}

// One access that does not cross a word, at `now` in the core's clock.
Soc::Access Soc::access(Core &core, std::uint32_t asked, std::uint32_t size, bool write, std::uint32_t value, Cycle now) {
    const bool fabric = core.id == kFabric;
    const std::uint32_t address = map_alias(core, asked);
    const Cycle cluster_now = fabric ? cluster_cycle(now) : now;
    const std::uint32_t to_cluster = fabric ? kAxi + kClusterInterconnect : 0;
    if (within(address, kL2Base, kL2Size)) {
        const std::uint32_t offset = address - kL2Base;
        const std::uint32_t wait = fabric ? l2_banks_.from_fabric(offset, size, now) : l2_banks_.from_cluster(offset, size, now);
        return memory_access(l2_.data() + offset, address, size, write, value, 1 + wait + (fabric ? 0 : kClusterInterconnect + kAxi));
    }
    if (within(address, kL1Base, kL1Size)) {
        const std::uint32_t offset = address - kL1Base;
        return memory_access(l1_.data() + offset, address, size, write, value, 1 + to_cluster + tcdm_.access_word(offset, cluster_now));
    }
    if (within(address, kTestAndSet, kL1Size)) {
        const std::uint32_t offset = address - kTestAndSet;
        const std::uint32_t wait = tcdm_.access_word(offset, cluster_now);
        Access result = memory_access(l1_.data() + offset, kL1Base + offset, size, write, value, 1 + to_cluster + wait);
        if (!write) {                          // a second access stores all ones
            result.latency = 1 + to_cluster + tcdm_.access_word(offset, cluster_now);
            std::memset(l1_.data() + offset, 0xff, size);
            code_.changed(kL1Base + offset, size);
        }
        return result;
    }
    if (within(address, kWmemBase, kWmemSize))
        return memory_access(wmem_.data() + (address - kWmemBase), address, size, write, value, 1 + kWmemRouter + (fabric ? kAxi + kClusterInterconnect : kClusterInterconnect));
    if (!fabric && within(address, kDemuxEvents, 0x800)) {
        if (size != 4) bad_access(core, asked, write);
        return demux(core, address - kDemuxEvents, write, value, now);
    }
    attention_ = true;
    if (within(address, kPeripherals, 0x4000)) {
        if (size != 4) bad_access(core, asked, write);
        asked_ = asked;
        return {.value = cluster_peripheral(core, address - kPeripherals, write, value, cluster_now), .latency = 1 + (fabric ? kAxi : 0) + kClusterInterconnect};
    }
    if (within(address, kSocPeripherals, kSocPeripheralsSize) || within(address, kRom, kRomSize)) {
        asked_ = asked;
        const std::uint32_t found = soc_peripheral(core, address, write, value) >> (8 * (address & 3));
        return {.value = found, .latency = 1 + kApb + (fabric ? 0 : kClusterInterconnect + kAxi)};
    }
    bad_access(core, asked, write);
}

// The private ports of event unit and DMA, one cycle away.
Soc::Access Soc::demux(Core &core, std::uint32_t offset, bool write, std::uint32_t value, Cycle now) {
    attention_ = true;
    if (offset >= kDemuxDma - kDemuxEvents) {
        offset -= kDemuxDma - kDemuxEvents;
        const Dma::Reply reply = write ? dma_.write(core.id, offset, value, now) : dma_.read(core.id, offset, now);
        if (!reply.ok) bad_access(core, kDemuxDma + offset, write);
        if (reply.sleep) {
            core.waiting = write ? Waiting::dma_queue : Waiting::dma_counter, core.waiting_for = offset;
        }
        return {.value = reply.value, .sleep = reply.sleep};
    }
    core.waiting = Waiting::event;
    const EventUnit::Reply reply = write ? events_.write(core.id, offset, value, now) : events_.read(core.id, offset, now);
    if (!reply.ok) bad_access(core, kDemuxEvents + offset, write);
    if (reply.sleep) core.waiting = reply.why, core.waiting_for = reply.what;
    return {.value = reply.value, .sleep = reply.sleep};
}

std::uint32_t Soc::cluster_peripheral(Core &core, std::uint32_t offset, bool write, std::uint32_t value, Cycle now) {
    if (offset < 0x400) return cluster_control(offset, write, value, now);
    if (offset < 0x800) {
        if (!write) return cluster_timer_.read(offset & 0x3ff, now);
        cluster_timer_.write(offset & 0x3ff, value, now);
        return 0;
    }
    if (offset < 0x1000) {
        const EventUnit::Reply reply = write ? events_.write_shared(offset - 0x800, value, now) : events_.read_shared(offset - 0x800, now);
        if (!reply.ok) bad_access(core, asked_, write);
        return reply.value;
    }
    if (offset < 0x1400) {
        if (!write) return npu_.read(offset - 0x1000, now);
        npu_.write(offset - 0x1000, value, now);
        npu_asked();
        return 0;
    }
    if (offset < 0x1800) {
        if (!write) return offset == 0x1400 && cluster_cache_.enabled;
        if (offset == 0x1400) cluster_cache_.enabled = value != 0;
        if (offset == 0x1404) { cluster_cache_.flush(); for (int id = 0; id < kClusterCores; id++) core_at(id).line = 1; }
        return 0;
    }
    if (offset < 0x1c00) {
        const Dma::Reply reply = write ? dma_.write(kClusterCores, offset - 0x1800, value, now) : dma_.read(kClusterCores, offset - 0x1800, now);
        if (!reply.ok || reply.sleep) bad_access(core, asked_, write);
        return reply.value;
    }
    bad_access(core, asked_, write);
}

// End of computation, fetch enable, boot addresses; the rest only keeps what is written.
std::uint32_t Soc::cluster_control(std::uint32_t offset, bool write, std::uint32_t value, Cycle now) {
    const std::uint32_t index = offset >> 2;
    if (!write) return control_registers_[index];
    control_registers_[index] = value;
    if (offset == 0x08) fetch_enable(value, now);
    if (offset >= 0x40 && offset < 0x40 + 4 * kClusterCores) core_at(static_cast<int>((offset - 0x40) >> 2)).boot = value;
    return 0;
}

void Soc::fetch_enable(std::uint32_t mask, Cycle now) {
    for (int id = 0; id < kClusterCores; id++) {
        Core &core = core_at(id);
        const bool enable = mask >> id & 1;
        if (enable && core.state == CoreState::off) {
            core.pc = core.boot & ~1u, core.state = CoreState::running, core.next = now + 1;
            front(id);
        } else if (!enable && core.state != CoreState::off && &core != executing_) {
            core.state = CoreState::off, core.next = kNever;
            leave(id);
        }
    }
}

std::uint32_t Soc::soc_peripheral(Core &core, std::uint32_t address, bool write, std::uint32_t value) {
    const auto fabric_now = [&] { return core.id == kFabric ? core.next : soc_cycle(core.next); };
    if (within(address, kStdout, 0x1000)) {
        if (write) put_char(address - kStdout, static_cast<char>(value));
        return 0;
    }
    if (address == kExit) {
        if (write && (value & 0x80000000u)) {
            exit_code_ = value & 0x7fffffffu;
            ending_ = Ending::exited;
            now_ = std::max(now_, cluster_time(core));
        }
        return 0;
    }
    if (within(address, kFabricTimer, 0x800)) {
        if (!write) return fabric_timer_.read(address & 0x3f, fabric_now());
        fabric_timer_.write(address & 0x3f, value, fabric_now());
        return 0;
    }
    if (within(address, kFabricCache, 0x400)) {
        if (!write) return address == kFabricCache && fabric_cache_.enabled;
        if (address == kFabricCache) fabric_cache_.enabled = value != 0;
        if (address == kFabricCache + 4) { fabric_cache_.flush(); core_at(kFabric).line = 1; }
        return 0;
    }
    if (within(address, kInterrupts, 0x400)) {
        std::uint32_t &reg = (address & 0x3f) < 0x0c ? interrupt_mask_ : interrupt_status_;
        if (!write) return reg;
        const std::uint32_t kind = (address & 0x3f) % 0x0c;
        reg = kind == 0 ? value : kind == 4 ? reg | value : reg & ~value;
        Core &fabric = core_at(kFabric);
        if (fabric.state == CoreState::asleep && (interrupt_mask_ & interrupt_status_)) wake(kFabric, fabric_now(), 0);
        return 0;
    }
    if (within(address, kRom, kRomSize)) return 0;
    std::uint32_t &reg = soc_registers_[(address - kSocPeripherals) >> 2];   // not modelled: keeps what is written
    if (write) reg = value;
    return reg;
}

void Soc::put_char(std::uint32_t offset, char c) {
    std::string &line = lines_[offset >> 3 & 511];
    line.push_back(c);
    if (c != '\n' && line.size() < 65536) return;
    if (output) output(line.data(), line.size());
    line.clear();
}
void Soc::flush_output() {
    for (std::string &line : lines_) {
        if (!line.empty() && output) output(line.data(), line.size());
        line.clear();
    }
}

// --- what instructions call

// A load that is not a plain one: other memories, devices, or across a word (two accesses, one after the other).
std::uint32_t Soc::load(Core &c, std::uint32_t address, std::uint32_t size, std::uint64_t reg_bit) {
    const std::uint32_t first = 4 - (address & 3);
    Access result;
    Cycle arrival = c.next;                    // of the access; stalls that came before count into the time of use only
    const std::uint32_t before = c.stall;
    if (size <= first) {
        result = access(c, address, size, false, 0, c.next);
        if (size < 4) result.value &= (1u << (8 * size)) - 1;
        if (result.sleep) {
            fall_asleep(c, c.waiting, c.waiting_for, reg_bit);
            return 0;
        }
    } else {
        const Access low = access(c, address, first, false, 0, c.next);
        arrival += low.latency;
        c.stall += low.latency;
        c.n[kLoads]++;
        result = access(c, address + first, size - first, false, 0, arrival);
        result.value = low.value | result.value << (8 * first);
    }
    c.stall += result.latency - 1;
    c.late = reg_bit, c.late_counts = 1;
    c.late_at = arrival + before + result.latency + 1;
    return result.value;
}

void Soc::store(Core &c, std::uint32_t address, std::uint32_t size, std::uint32_t value) {
    const std::uint32_t first = 4 - (address & 3);
    if (size <= first) {
        const Access result = access(c, address, size, true, value, c.next);
        if (result.sleep) fall_asleep(c, c.waiting, c.waiting_for, 0);
        c.stall += result.latency - 1;
        return;
    }
    const Access low = access(c, address, first, true, value, c.next);
    c.n[kLoads]++;
    const Access high = access(c, address + first, size - first, true, value >> (8 * first), c.next + low.latency);
    c.stall += low.latency + high.latency - 1;
}

// --- what the engines call

void Soc::l1_written(std::uint32_t offset, std::uint32_t bytes) {
    offset &= kL1Size - 1;
    if (offset + bytes > kL1Size) {
        code_.changed(kL1Base, offset + bytes - kL1Size);
        bytes = kL1Size - offset;
    }
    code_.changed(kL1Base + offset, bytes);
}

void Soc::warn(const std::string &what) {
    if (options_.strict) {
        fault_text_ = "N-EUREKA: " + what;
        throw Fault{executing_ != nullptr ? executing_->id : -1, executing_ != nullptr ? executing_->pc : 0, 0, "N-EUREKA"};
    }
    if (warning) warning("N-EUREKA: " + what);
}
void Soc::job_span(Cycle asked, Cycle begin, Cycle end, const std::string &what) {
    if (observer != nullptr) observer->npu(asked, begin, end, what);
}
void Soc::dma_span(Cycle begin, Cycle end, bool to_l1, std::uint32_t bytes) {
    if (observer != nullptr) observer->dma(begin, end, to_l1, bytes);
}

std::uint8_t *Soc::external(std::uint32_t address, std::uint32_t bytes) {
    return within(address, kL1Base, kL1Size) ? nullptr : memory(address, bytes);
}
std::uint32_t Soc::external_busy(std::uint32_t address, std::uint32_t bytes, Cycle now) {
    if (!within(address, kL2Base, kL2Size)) return 0;
    return l2_banks_.from_cluster(address - kL2Base, bytes, now);
}

void Soc::dma_event(int channel, bool event, bool interrupt, bool broadcast, Cycle now) {
    constexpr int kDmaInterrupt = 9, kDmaExternal = 22;
    if (channel == kClusterCores) {
        events_.raise(kDmaExternal, 0, now);
        return;
    }
    const std::uint32_t mask = broadcast ? 0 : 1u << channel;
    if (interrupt) events_.raise(kDmaInterrupt, mask, now);
    if (event) events_.raise(kEventDma, mask, now);
}
void Soc::dma_fault(std::uint32_t address) { throw Fault{-1, 0, address, "DMA transfer outside L2 and weight memory"}; }
void Soc::dma_counter(int channel, std::uint32_t counter, Cycle now) { wake(channel, now, counter); }
void Soc::dma_resume(int channel, Cycle now) { wake(channel, now, 0); }

}  // namespace siracusa
