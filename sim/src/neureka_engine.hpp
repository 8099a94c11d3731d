// The control of N-EUREKA: walks a job's tiles state by state and says how long each state takes.
//
// The cycle law is that of GVSoC's model: every access to L1 takes one cycle plus the wait at its banks, the rest are fixed
// overheads (docs/simulator-npu.md). With activation prefetch the weight phase of a tile that is not the last of its output
// tile is not paid at once but hidden behind the next tile's loads.
#pragma once
#include <cstdint>

#include "neureka.hpp"
#include "neureka_datapath.hpp"
#include "neureka_job.hpp"
#include "neureka_stream.hpp"

namespace siracusa::neureka {

class Engine {
  public:
    explicit Engine(NpuHost &host) : host_(host), port_(host) {}

    void start(const Job &job);
    // Does what happens in cycle `now`; returns the cycles until the next call, or until the end when ended() holds after it.
    Cycle advance(Cycle now);
    bool ended() const { return phase_ == Phase::ended; }
    void count(NeurekaCounters &counters) const;       // adds what the job did so far

  private:
    enum class Phase { tile, stream_in, load_prepare, load, weights_prepare, weights, norm_shift, norm_scale, norm_bias, output, ended };

    Cycle run_phase(Cycle now);
    Cycle begin_tile();
    Cycle stream_in(Cycle now);
    Cycle begin_load();
    Cycle load(Cycle now);
    Cycle begin_weights();
    Cycle weights(Cycle now);
    Cycle dense_weights(Cycle now);
    Cycle depthwise_weights(Cycle now);
    Cycle charge_weights(Cycle cycles);
    void finish_input_tile();
    Cycle norm_shift(Cycle now);
    Cycle norm_scale(Cycle now);
    Cycle norm_bias(Cycle now);
    void begin_output();
    Cycle output(Cycle now);
    void next_tile();

    std::uint32_t dense_address(int channel, int plane) const;
    Cycle fetch_weights(std::uint32_t address, std::uint8_t *bytes, Cycle now);
    AddressGenerator output_addresses(int groups) const;
    int groups() const;                                // of eight 32-bit channels, per pixel
    int scale_words() const;
    bool last_of_output_tile() const;                  // the last spatial and input tile of this output tile
    bool writes_pixel() const;

    NpuHost &host_;
    Port port_;
    Datapath datapath_;
    Job job_{};
    Phase phase_ = Phase::ended;
    int ko_ = 0, row_ = 0, column_ = 0, ki_ = 0;       // tile indices
    int pixel_ = 0, group_ = 0, word_ = 0;             // progress inside a phase
    int rows_in_ = 0, columns_in_ = 0, channels_ = 0;  // of the input tile
    std::uint8_t planes_[8 * kWeightBytes]{};          // the weight words of one output channel
    AddressGenerator addresses_;
    Cycle load_cycles_ = 0, hidden_weights_ = 0;       // prefetch: length of this load, weight cycles still to hide
    bool warned_overflow_ = false, warned_range_ = false;
    std::uint64_t macs_ = 0, weight_words_ = 0;
};

}  // namespace siracusa::neureka
