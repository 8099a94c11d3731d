// N-EUREKA's arithmetic for one 6x6 tile: input window, weights, accumulators, normalisation. No time, no memory.
#pragma once
#include <array>
#include <cstdint>

#include "neureka_job.hpp"

namespace siracusa::neureka {

class Datapath {
  public:
    void begin_job(const Job &job);
    void begin_tile(int tile_row, int tile_column);                   // clears the accumulators

    // Accumulators from 32-bit values in memory, channels [first, first + count) of `pixel`, little endian.
    void stream_in(int pixel, int first, int count, const std::uint8_t *bytes);

    // Per input tile: clear_window, load_pixel, pad, then the weights and accumulate.
    void clear_window();
    void load_pixel(int row, int column, int channels, const std::uint8_t *bytes);
    void pad(int channels);                                           // the tile's explicit padding, over its pixels' channels
    // The weight words of one output channel: weight_bits words for 3x3, one for 1x1.
    void dense_weights(int channel, const std::uint8_t *words) { unpack(&weights_[channel * kTaps * kLanes], words); }
    void accumulate(int outputs);                                     // dense: output channels [0, outputs)
    void accumulate_depthwise(const std::uint8_t *words, int channels);

    void set_shifts(const std::uint8_t *bytes);                       // 32 per-channel amounts
    void scale(int first, int count, const std::uint8_t *bytes);      // multiply channels [first, first + count)
    void add_bias(int first, const std::uint8_t *bytes);              // eight int32; the sums are cut to 32 bits and shifted
    void shift(int first);                                            // eight channels, 64 bits wide: without bias
    void clip();
    void output(int pixel, int first, int count, std::uint8_t *bytes) const;   // out_bits each

    // A product of the job left 32 bits without a bias to cut it.
    bool overflowed() const { return overflowed_; }
    // Pairs of a real input pixel and a real output pixel of the tile under an enabled tap.
    int real_taps() const;

  private:
    static constexpr int kTaps = 9;
    static constexpr int kWeightLanes = kTaps * kLanes;

    void unpack(std::int16_t *weights, const std::uint8_t *words) const;
    void unpack_pointwise(std::int16_t *weights, const std::uint8_t *word) const;
    const std::int16_t *pixel(int row, int column) const { return &window_[(row * kWindow + column) * kLanes]; }
    void gather(int row, int column, std::int16_t *x) const;
    bool tap_enabled(int tap) const { return !(job_.filter_mask >> tap & 1); }
    void fill(int row0, int row1, int column0, int column1, int channels);
    unsigned shift_amount(int channel) const;
    std::int64_t *accumulator(int row, int column) { return &accumulators_[(row * kTile + column) * kLanes]; }

    Job job_{};
    int tile_row_ = 0, tile_column_ = 0;
    int rows_in_ = 0, columns_in_ = 0, rows_out_ = 0, columns_out_ = 0;
    alignas(64) std::int16_t window_[kWindow * kWindow * kLanes]{};
    bool real_[kWindow * kWindow]{};                                  // loaded, and not overwritten by padding
    alignas(64) std::int16_t weights_[kLanes * kWeightLanes]{};       // unsigned weights: output channel, tap, input channel
    alignas(64) std::int16_t ones_[kWeightLanes]{};                   // 1 on the enabled taps and channels
    alignas(64) std::int64_t accumulators_[kPixels * kLanes]{};
    std::uint8_t shifts_[kLanes]{};
    bool overflowed_ = false;
};

}  // namespace siracusa::neureka
