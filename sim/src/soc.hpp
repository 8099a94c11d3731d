// The chip: memories, address map, cores, engines, and the clock that drives them.
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "code_cache.hpp"
#include "core.hpp"
#include "dma.hpp"
#include "event_unit.hpp"
#include "icache.hpp"
#include "l2_banks.hpp"
#include "neureka.hpp"
#include "timer.hpp"
#include "types.hpp"

namespace siracusa {

constexpr std::uint32_t kSocPeripheralsSize = 0x80000;   // bytes of the SoC's peripherals, one register per word

struct Options {
    Timing timing = Timing::chip;
    bool xpulpnn = false;
    bool strict = false;               // a warning of N-EUREKA stops the run
    Cycle max_cycles = 0;              // of the cluster clock, 0: no limit
};

// How a run ended.
enum class Ending : std::uint8_t { running, exited, fault, deadlock, cycle_limit };

// Watches a run: trace, timeline, profile. Called only when one is attached.
class Observer {
  public:
    virtual ~Observer() = default;
    // Before the instruction at core.pc executes at core.next.
    virtual void before(const Core &, const Insn &) {}
    // After it: what it cost; `fetch` and `hazard` are the parts of core.stall that came before execution.
    virtual void after(const Core &, const Insn &, std::uint32_t, std::uint32_t /*fetch*/, std::uint32_t /*hazard*/) {}
    virtual void slept(const Core &, Cycle /*begin*/, Cycle /*end*/) {}
    virtual void dma(Cycle, Cycle, bool /*to_l1*/, std::uint32_t /*bytes*/) {}
    virtual void npu(Cycle /*asked*/, Cycle /*begin*/, Cycle /*end*/, const std::string &) {}
};

class Soc final : NpuHost, DmaHost, Sleepers {
  public:
    explicit Soc(const Options &options);

    // Memory from outside the run. nullptr when the range is not wholly in one memory.
    std::uint8_t *memory(std::uint32_t address, std::uint32_t bytes);
    void memory_changed(std::uint32_t address, std::uint32_t bytes) { code_.changed(address, bytes); }
    void start(std::uint32_t entry);           // the fabric controller begins at `entry`

    // Until something ends it, at most `cycles` more cluster cycles (0: what the options say). After a cycle limit it can go on.
    Ending run(Cycle cycles = 0);

    // State for reports.
    const Core &core(int id) const { return cores_[static_cast<std::size_t>(id)]; }
    Ending ending() const { return ending_; }
    std::uint32_t exit_code() const { return exit_code_; }
    const Fault &fault() const { return fault_; }
    const std::string &fault_text() const { return fault_text_; }
    Cycle cycles() const { return now_; }
    const EventUnit &events() const { return events_; }
    const Dma &dma() const { return dma_; }
    Activity activity() const;
    const Tcdm &l1_banks() const { return tcdm_; }
    const ClusterCache &cluster_cache() const { return cluster_cache_; }

    std::function<void(const char *, std::size_t)> output;        // program output, whole lines
    std::function<void(const std::string &)> warning;
    Observer *observer = nullptr;

    // For executing instructions.
    std::uint32_t load(Core &core, std::uint32_t address, std::uint32_t size, std::uint64_t reg_bit);
    void store(Core &core, std::uint32_t address, std::uint32_t size, std::uint32_t value);
    void l1_stored(std::uint32_t offset) {
        if (code_.l1_has_code(offset)) [[unlikely]] code_.changed(kL1Base + offset, 4);
    }
    bool is_long(const Core &core, std::uint32_t address);       // a 32-bit instruction there
    void wait_for_interrupt(Core &core);
    void fpu(Core &core);                                        // the shared units: adds the wait to core.stall
    void fpu_divide(Core &core);
    void unknown_csr(const Core &core, std::uint32_t csr);

  private:
    struct Access {
        std::uint32_t value = 0, latency = 1;
        bool sleep = false;
    };
    Core &core_at(int id) { return cores_[static_cast<std::size_t>(id)]; }

    // soc_bus.cpp: the address map.
    Access access(Core &core, std::uint32_t address, std::uint32_t size, bool write, std::uint32_t value, Cycle now);
    Access demux(Core &core, std::uint32_t offset, bool write, std::uint32_t value, Cycle now);
    std::uint32_t cluster_peripheral(Core &core, std::uint32_t address, bool write, std::uint32_t value, Cycle now);
    std::uint32_t cluster_control(std::uint32_t offset, bool write, std::uint32_t value, Cycle now);
    std::uint32_t soc_peripheral(Core &core, std::uint32_t address, bool write, std::uint32_t value);
    Access memory_access(std::uint8_t *bytes, std::uint32_t address, std::uint32_t size, bool write, std::uint32_t value, std::uint32_t latency);
    std::uint32_t map_alias(const Core &core, std::uint32_t address) const;
    void fetch_enable(std::uint32_t mask, Cycle now);
    void put_char(std::uint32_t offset, char c);
    void flush_output();
    [[noreturn]] void bad_access(const Core &core, std::uint32_t address, bool write);
    void fall_asleep(Core &core, Waiting why, std::uint32_t what, std::uint64_t reg_bit);

    // soc.cpp
    template <bool Observed>
    void step(Core &core);
    void fill(Core &core, std::uint32_t line);
    std::uint32_t fetch_path(std::uint32_t line, Cycle now);
    void enter_page(Core &core);
    void decode_at(Core &core, Insn &insn);
    void resume(Core &core);
    template <bool Observed>
    void run_until_stopped();
    template <bool Observed>
    void run_alone(Core &core, Cycle limit);
    void run_engines();
    void npu_asked();
    Cycle engines_next() const;
    void front(int core);
    void leave(int core);
    Cycle cluster_time(const Core &core) const;     // the cluster cycle of the core's present

    // NpuHost, DmaHost, Sleepers.
    Tcdm &tcdm() override { return tcdm_; }
    const std::uint8_t *weight_memory() override { return wmem_.data(); }
    void l1_written(std::uint32_t offset, std::uint32_t bytes) override;
    void npu_event(Cycle now) override { events_.raise(kEventNpu, 0, now); }
    void warn(const std::string &what) override;
    void job_span(Cycle asked, Cycle begin, Cycle end, const std::string &what) override;
    std::uint8_t *external(std::uint32_t address, std::uint32_t bytes) override;
    void external_written(std::uint32_t address, std::uint32_t bytes) override { code_.changed(address, bytes); }
    std::uint32_t external_busy(std::uint32_t address, std::uint32_t bytes, Cycle now) override;
    void dma_event(int channel, bool event, bool interrupt, bool broadcast, Cycle now) override;
    void dma_fault(std::uint32_t address) override;
    void dma_counter(int channel, std::uint32_t counter, Cycle now) override;
    void dma_resume(int channel, Cycle now) override;
    void dma_span(Cycle begin, Cycle end, bool to_l1, std::uint32_t bytes) override;
    void wake(int core, Cycle now, std::uint32_t value) override;

    Options options_;
    std::vector<std::uint8_t> l1_, l2_, wmem_;
    Tcdm tcdm_;
    L2Banks l2_banks_;
    CodeCache code_;
    std::array<Core, kCores> cores_{};
    std::uint64_t events_queued_ = 0, npu_place_ = 0;
    Cycle npu_next_ = kNever;
    EventUnit events_;
    Dma dma_;
    Neureka npu_;
    Timer cluster_timer_, fabric_timer_;
    ClusterCache cluster_cache_;
    FabricCache fabric_cache_;
    std::array<Cycle, 4> fpu_free_{};
    Cycle divider_free_ = 0;
    std::array<std::uint32_t, 256> control_registers_{};
    std::vector<std::uint32_t> soc_registers_;
    std::uint32_t interrupt_mask_ = 0, interrupt_status_ = 0;
    std::uint32_t asked_ = 0;        // the address asked for, for fault reports

    std::array<int, kClusterCores> order_{};        // running cluster cores in the order of service within a cycle
    int running_ = 0;
    Cycle now_ = 0, limit_ = kNever;
    Core *executing_ = nullptr;
    bool attention_ = false;                        // something happened that the scheduler has to look at
    Ending ending_ = Ending::running;
    std::uint32_t exit_code_ = 0;
    Fault fault_{-1, 0, 0, ""};
    std::string fault_text_;
    std::array<std::string, 1024> lines_;           // unfinished output lines by cluster and core
    bool warned_csr_ = false;
};

}  // namespace siracusa
