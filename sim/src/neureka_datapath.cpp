#include "neureka_datapath.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace siracusa::neureka {

namespace {

std::uint32_t word32(const std::uint8_t *bytes) {
    return static_cast<std::uint32_t>(bytes[0]) | static_cast<std::uint32_t>(bytes[1]) << 8 |
           static_cast<std::uint32_t>(bytes[2]) << 16 | static_cast<std::uint32_t>(bytes[3]) << 24;
}

void store64(std::uint8_t *bytes, std::uint64_t value) {
    for (int i = 0; i < 8; i++) bytes[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

// Bit i of the index in byte i of the value.
constexpr std::array<std::uint64_t, 256> spread_table() {
    std::array<std::uint64_t, 256> table{};
    for (unsigned v = 0; v < 256; v++)
        for (unsigned i = 0; i < 8; i++) table[v] |= static_cast<std::uint64_t>(v >> i & 1) << (8 * i);
    return table;
}
constexpr auto kSpread = spread_table();

// Products of one vector with four rows of weights, `Stride` apart: written so that compilers keep it in vector registers.
template <int N, int Stride>
void dot_four(const std::int16_t *x, const std::int16_t *w, std::int32_t *sums) {
    std::int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int i = 0; i < N; i++) {
        const std::int32_t v = x[i];
        s0 += v * w[i];
        s1 += v * w[i + Stride];
        s2 += v * w[i + 2 * Stride];
        s3 += v * w[i + 3 * Stride];
    }
    sums[0] = s0, sums[1] = s1, sums[2] = s2, sums[3] = s3;
}

// Wild jobs leave 64 bits; they wrap.
std::int64_t product(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) * static_cast<std::uint64_t>(b));
}
void add(std::int64_t &sum, std::int64_t value) {
    sum = static_cast<std::int64_t>(static_cast<std::uint64_t>(sum) + static_cast<std::uint64_t>(value));
}

}  // namespace

void Datapath::begin_job(const Job &job) {
    job_ = job;
    overflowed_ = false;
    std::fill(std::begin(weights_), std::end(weights_), std::int16_t{0});
    std::fill(std::begin(ones_), std::end(ones_), std::int16_t{0});
    const int taps = job.pointwise ? 1 : kTaps, lanes = job.channels_in();
    for (int tap = 0; tap < taps; tap++)
        if (tap_enabled(tap)) std::fill_n(&ones_[tap * kLanes], lanes, std::int16_t{1});
}

void Datapath::begin_tile(int tile_row, int tile_column) {
    tile_row_ = tile_row, tile_column_ = tile_column;
    rows_in_ = job_.input_rows(tile_row), columns_in_ = job_.input_columns(tile_column);
    rows_out_ = job_.output_rows(tile_row), columns_out_ = job_.output_columns(tile_column);
    std::fill(std::begin(accumulators_), std::end(accumulators_), std::int64_t{0});
}

void Datapath::stream_in(int pixel, int first, int count, const std::uint8_t *bytes) {
    for (int i = 0; i < count; i++)
        accumulators_[pixel * kLanes + first + i] = static_cast<std::int32_t>(word32(bytes + 4 * i));
}

void Datapath::clear_window() {
    std::fill(std::begin(window_), std::end(window_), std::int16_t{0});
    std::fill(std::begin(real_), std::end(real_), false);
}

void Datapath::load_pixel(int row, int column, int channels, const std::uint8_t *bytes) {
    std::int16_t *x = &window_[(row * kWindow + column) * kLanes];
    if (job_.signed_input)
        for (int c = 0; c < channels; c++) x[c] = static_cast<std::int8_t>(bytes[c]);
    else
        for (int c = 0; c < channels; c++) x[c] = bytes[c];
    real_[row * kWindow + column] = true;
}

void Datapath::fill(int row0, int row1, int column0, int column1, int channels) {
    const auto byte = static_cast<std::uint8_t>(job_.pad_value);
    const auto value = static_cast<std::int16_t>(job_.signed_input ? static_cast<std::int8_t>(byte) : byte);
    for (int row = row0; row < std::min(row1, kWindow); row++)
        for (int column = column0; column < std::min(column1, kWindow); column++) {
            std::fill_n(&window_[(row * kWindow + column) * kLanes], channels, value);
            real_[row * kWindow + column] = false;
        }
}

// The bottom and right borders lie at 8 - padding of the window, or at its last loaded pixel where that comes first: with the
// HAL's reduced REM2 there is nothing left to fill, and the window's zeros stand.
void Datapath::pad(int channels) {
    const bool top = job_.pad_top > 0 && tile_row_ == 0, left = job_.pad_left > 0 && tile_column_ == 0;
    const bool bottom = job_.pad_bottom > 0 && tile_row_ == job_.nb_ho - 1;
    const bool right = job_.pad_right > 0 && tile_column_ == job_.nb_wo - 1;
    const int row_end = std::max(rows_in_, job_.pad_top), column_end = std::max(columns_in_, job_.pad_left);
    const int bottom_edge = std::max(0, std::min(rows_in_, kWindow - job_.pad_bottom));
    const int right_edge = std::max(0, std::min(columns_in_, kWindow - job_.pad_right));
    if (top) fill(0, job_.pad_top, 0, column_end, channels);
    if (left) fill(0, row_end, 0, job_.pad_left, channels);
    if (bottom) fill(bottom_edge, rows_in_, 0, column_end, channels);
    if (right) fill(0, row_end, right_edge, columns_in_, channels);
}

// 3x3: per bit plane a word with bit 28 * tap + channel.
void Datapath::unpack(std::int16_t *weights, const std::uint8_t *words) const {
    if (job_.pointwise) return unpack_pointwise(weights, words);
    std::uint64_t bytes[kTaps][kLanes / 8] = {};
    for (int plane = 0; plane < job_.weight_bits; plane++)
        for (int tap = 0; tap < kTaps; tap++) {
            const int at = tap * kLanes3x3;
            const std::uint32_t bits = word32(words + plane * kWeightBytes + at / 8) >> (at % 8) & 0x0fffffff;
            for (int group = 0; group < kLanes / 8; group++) bytes[tap][group] |= kSpread[bits >> (8 * group) & 255] << plane;
        }
    for (int tap = 0; tap < kTaps; tap++) {
        if (!tap_enabled(tap)) continue;
        std::uint8_t lane[kLanes];
        for (int group = 0; group < kLanes / 8; group++) store64(lane + 8 * group, bytes[tap][group]);
        for (int i = 0; i < kLanes; i++) weights[tap * kLanes + i] = lane[i];
    }
}

// 1x1: 32-bit group g holds channels 4g .. 4g + 3, bit 4 * plane + (channel % 4). Always eight planes, the upper ones ignored.
void Datapath::unpack_pointwise(std::int16_t *weights, const std::uint8_t *word) const {
    for (int group = 0; group < kLanes / 4; group++) {
        const std::uint32_t bits = word32(word + 4 * group);
        std::uint64_t bytes = 0;
        for (int plane = 0; plane < job_.weight_bits; plane++) bytes |= kSpread[bits >> (4 * plane) & 15] << plane;
        for (int lane = 0; lane < 4; lane++) weights[4 * group + lane] = static_cast<std::int16_t>(bytes >> (8 * lane) & 255);
    }
}

// The taps of an output pixel side by side: tap, then channel.
void Datapath::gather(int row, int column, std::int16_t *x) const {
    if (job_.pointwise) {
        std::memcpy(x, pixel(row, column), kLanes * sizeof *x);
        return;
    }
    for (int r = 0; r < 3; r++) std::memcpy(x + r * 3 * kLanes, pixel(row + r, column), 3 * kLanes * sizeof *x);
}

void Datapath::accumulate(int outputs) {
    alignas(64) std::int16_t x[kWeightLanes];
    const int lanes = job_.pointwise ? kLanes : kWeightLanes;
    for (int row = 0; row < rows_out_; row++)
        for (int column = 0; column < columns_out_; column++) {
            gather(row, column, x);
            std::int32_t inputs = 0;
            for (int i = 0; i < lanes; i++) inputs += x[i] * ones_[i];
            const std::int64_t offset = static_cast<std::int64_t>(job_.weight_offset) * inputs;
            std::int64_t *sums = accumulator(row, column);
            for (int k = 0; k < outputs; k += 4) {
                std::int32_t products[4];
                const std::int16_t *w = &weights_[k * kWeightLanes];
                if (job_.pointwise) dot_four<kLanes, kWeightLanes>(x, w, products);
                else dot_four<kWeightLanes, kWeightLanes>(x, w, products);
                for (int i = 0; i < std::min(4, outputs - k); i++) add(sums[k + i], offset + products[i]);
            }
        }
}

void Datapath::accumulate_depthwise(const std::uint8_t *words, int channels) {
    unpack(weights_, words);
    for (int row = 0; row < rows_out_; row++)
        for (int column = 0; column < columns_out_; column++) {
            std::int32_t products[kLanes] = {}, inputs[kLanes] = {};
            for (int tap = 0; tap < kTaps; tap++) {
                const std::int16_t *x = pixel(row + tap / 3, column + tap % 3);
                const std::int16_t *w = &weights_[tap * kLanes], *one = &ones_[tap * kLanes];
                for (int k = 0; k < kLanes; k++) {
                    products[k] += static_cast<std::int32_t>(x[k]) * w[k];
                    inputs[k] += x[k] * one[k];
                }
            }
            const auto offset = static_cast<std::int64_t>(job_.weight_offset);
            std::int64_t *sums = accumulator(row, column);
            for (int k = 0; k < channels; k++) add(sums[k], products[k] + offset * inputs[k]);
        }
}

void Datapath::set_shifts(const std::uint8_t *bytes) { std::memcpy(shifts_, bytes, sizeof shifts_); }

unsigned Datapath::shift_amount(int channel) const {
    return job_.channel_shift ? shifts_[channel] : static_cast<unsigned>(job_.right_shift);
}

void Datapath::scale(int first, int count, const std::uint8_t *bytes) {
    const int width = 4 / count;
    for (int i = 0; i < count; i++) {
        std::uint32_t factor = 0;
        for (int b = 0; b < width; b++) factor |= static_cast<std::uint32_t>(bytes[i * width + b]) << (8 * b);
        for (int row = 0; row < rows_out_; row++)
            for (int column = 0; column < columns_out_; column++) {
                std::int64_t &sum = accumulator(row, column)[first + i];
                sum = product(sum, factor);
                if (!job_.bias && sum != static_cast<std::int32_t>(sum)) overflowed_ = true;
            }
    }
}

void Datapath::add_bias(int first, const std::uint8_t *bytes) {
    for (int i = 0; i < 8; i++) {
        const std::uint32_t bias = word32(bytes + 4 * i), amount = shift_amount(first + i) & 31;
        for (int row = 0; row < rows_out_; row++)
            for (int column = 0; column < columns_out_; column++) {
                std::int64_t &sum = accumulator(row, column)[first + i];
                sum = static_cast<std::int32_t>(static_cast<std::uint32_t>(sum) + bias) >> amount;
            }
    }
}

void Datapath::shift(int first) {
    for (int i = 0; i < 8; i++)
        for (int row = 0; row < rows_out_; row++)
            for (int column = 0; column < columns_out_; column++) {
                std::int64_t &sum = accumulator(row, column)[first + i];
                sum >>= shift_amount(first + i) & 63;
            }
}

void Datapath::clip() {
    if (!job_.quantise) return;
    std::int64_t low = 0, high = 0;
    if (job_.out_bits == 8) low = job_.relu ? 0 : -128, high = job_.relu ? 255 : 127;
    else if (job_.relu) high = 0xffffffff;
    else return;
    for (std::int64_t &sum : accumulators_) sum = std::clamp(sum, low, high);
}

void Datapath::output(int pixel, int first, int count, std::uint8_t *bytes) const {
    const std::int64_t *sums = &accumulators_[pixel * kLanes + first];
    if (job_.out_bits == 8) {
        for (int i = 0; i < count; i++) bytes[i] = static_cast<std::uint8_t>(sums[i]);
        return;
    }
    for (int i = 0; i < count; i++)
        for (int b = 0; b < 4; b++) bytes[4 * i + b] = static_cast<std::uint8_t>(sums[i] >> (8 * b));
}

int Datapath::real_taps() const {
    int pairs = 0;
    const int side = job_.pointwise ? 1 : 3;
    for (int row = 0; row < rows_out_; row++)
        for (int column = 0; column < columns_out_; column++)
            for (int tap = 0; tap < side * side; tap++)
                pairs += tap_enabled(tap) && real_[(row + tap / side) * kWindow + column + tap % side];
    return pairs;
}

}  // namespace siracusa::neureka
