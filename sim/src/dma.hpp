// The cluster DMA (mchan v7): per-core command queues, 16 counters, bursts between the outside and L1.
#pragma once
#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "types.hpp"

namespace siracusa {

// What the DMA needs from the SoC.
class DmaHost {
  public:
    virtual ~DmaHost() = default;
    virtual Tcdm &tcdm() = 0;
    // The bytes at an external address (L2 or weight memory), nullptr when the range is not wholly inside one memory.
    virtual std::uint8_t *external(std::uint32_t address, std::uint32_t bytes) = 0;
    virtual void external_written(std::uint32_t address, std::uint32_t bytes) = 0;
    virtual void l1_written(std::uint32_t offset, std::uint32_t bytes) = 0;
    // Occupies the memory behind `address` with a burst that is moved at once (gvsoc) or with one word (chip); the wait.
    virtual std::uint32_t external_busy(std::uint32_t address, std::uint32_t bytes, Cycle now) = 0;
    virtual void dma_event(int channel, bool event, bool interrupt, bool broadcast, Cycle now) = 0;
    virtual void dma_fault(std::uint32_t address) = 0;                        // does not return
    virtual void dma_counter(int channel, std::uint32_t counter, Cycle now) = 0;   // a core that waited for a counter gets one
    virtual void dma_resume(int channel, Cycle now) = 0;                      // a core that waited for queue space goes on
    virtual void dma_span(Cycle begin, Cycle end, bool to_l1, std::uint32_t bytes) = 0;   // for the timeline
};

class Dma {
  public:
    static constexpr int kChannels = kClusterCores + 1;   // the last one is the shared port
    // `events`: counts the events that the cluster's engines queue; those of one cycle are handled in that order.
    Dma(DmaHost &host, Timing timing, std::uint64_t &events) : host_(host), timing_(timing), events_(events) {}

    struct Reply {
        bool ok = true, sleep = false;
        std::uint32_t value = 0;
    };
    Reply read(int channel, std::uint32_t offset, Cycle now);
    Reply write(int channel, std::uint32_t offset, std::uint32_t value, Cycle now);

    // As for N-EUREKA: step(next()) after the cores of that cycle, until next() is later. One event per call.
    Cycle next() const { return next_; }
    std::uint64_t next_place() const { return place_[first_]; }
    void step(Cycle now);
    bool busy() const { return next_ != kNever; }
    std::uint64_t bytes() const { return bytes_; }
    std::uint32_t status() const;

  private:
    static constexpr std::uint32_t kCounters = 16, kCoreQueue = 2, kGlobalQueue = 8, kOutstanding = 8, kBurst = 256;
    static constexpr std::uint32_t kFirstData = 14;       // chip: cycles before the first data of a transfer

    // Where the next bytes of a transfer are on one side: all in one piece, or lines that begin `stride` bytes apart.
    struct Side {
        bool lines = false;
        std::uint32_t at = 0, start = 0, size = 0, left = 0, stride = 0;
        std::uint32_t most(std::uint32_t bytes) const { return lines && left < bytes ? left : bytes; }
        void advance(std::uint32_t bytes) {
            at += bytes, left -= bytes;
            if (lines && left == 0) left = size, at = start += stride;
        }
    };
    struct Command {
        std::uint32_t words = 0, control = 0, size = 0, unread = 0, unwritten = 0, counter = 0;
        Side local, outside;
        int channel = 0;
        Cycle begin = 0;
        bool started = false;
        bool to_l1() const { return control >> 17 & 1; }
    };
    using Slot = std::uint32_t;                           // index into commands_
    struct Channel {
        std::deque<Slot> queue;                           // complete commands, at most kCoreQueue
        Slot open = kNone;                                // the command being written
        std::uint32_t counter = 0;
        bool waits_for_space = false;
        std::uint32_t pending_word = 0;
    };
    struct Burst {
        Slot command = 0;
        std::uint32_t local = 0, outside = 0, size = 0, done = 0;
        Cycle ready = 0;                                  // from when its data can move
        std::array<std::uint8_t, kBurst> bytes{};
    };
    static constexpr Slot kNone = ~0u;

    void push_word(int channel, std::uint32_t word, Cycle now);
    bool complete(const Command &command) const;
    void move_to_global(bool to_l1, Cycle now);
    void issue_read(Cycle now);
    void issue_write(Cycle now);
    Burst next_burst(Slot slot, Cycle now);
    void move_words(Cycle now);
    void move_word(Burst &burst, std::size_t port, bool into_l1, Cycle now);
    std::uint32_t outside_wait(const Burst &burst, std::uint32_t size, Cycle now);
    void finish_write(Burst &burst, Cycle now);
    void account(Slot slot, std::uint32_t bytes, Cycle now);
    void schedule(Cycle now);
    bool full(const std::deque<Slot> &queue) const { return queue.size() >= kGlobalQueue; }

    DmaHost &host_;
    Timing timing_;
    std::uint64_t &events_;
    Cycle next_ = kNever;
    std::size_t first_ = 0;                               // the activity that is due next
    std::vector<Command> commands_;
    std::vector<Slot> unused_;
    std::array<Channel, kChannels> channels_;
    std::array<std::uint32_t, kCounters> pending_{};      // bytes that each counter still waits for
    std::uint32_t free_counters_ = 0xffff;
    std::deque<int> waiting_for_counter_;
    std::uint32_t core_reads_ = 0, core_writes_ = 0;      // commands in the core queues
    int first_channel_ = 0;                               // round robin of the core queues
    std::deque<Slot> reads_, writes_;                     // global queues
    Slot reading_ = kNone, writing_ = kNone;
    std::deque<Burst> arrived_;                           // bursts read outside, on their way into L1
    std::uint32_t reads_out_ = 0;
    std::deque<Burst> collecting_;                        // at most one burst being read from L1
    std::array<Cycle, 4> port_ready_{};
    // The internal activities: when each is due (kNever: not needed), and its place among all events of the cluster.
    enum Activity : std::size_t { kQueue, kRead, kWrite, kMove, kActivities };
    std::array<Cycle, kActivities> due_{kNever, kNever, kNever, kNever};
    std::array<std::uint64_t, kActivities> place_{};
    std::uint64_t bytes_ = 0;
};

}  // namespace siracusa
