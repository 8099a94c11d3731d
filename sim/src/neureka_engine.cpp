#include "neureka_engine.hpp"

#include <algorithm>
#include <cstring>

namespace siracusa::neureka {

namespace {

constexpr Cycle kStreamInOverhead = 10, kLoadOverhead = 6, kPointwiseLoadOverhead = 6;
constexpr Cycle kPrepareDepthwise = 34, kDense3x3Overhead = 8;
constexpr Cycle kScaleOverhead = 9, kBiasOverhead = 8, kPointwiseOutputOverhead = 3;
constexpr Cycle kPrefetchLoadStart = 3;                // load cycles that already count as hiding weights

constexpr Cycle prepare_dense(bool pointwise, bool prefetch) { return pointwise ? (prefetch ? 7 : 10) : 6; }
int groups_of_eight(int channels) { return (channels + 7) / 8; }
std::uint32_t steps(int index, std::int32_t stride) { return static_cast<std::uint32_t>(index) * static_cast<std::uint32_t>(stride); }

}  // namespace

void Engine::start(const Job &job) {
    job_ = job;
    datapath_.begin_job(job);
    ko_ = row_ = column_ = ki_ = 0;
    load_cycles_ = hidden_weights_ = 0;
    warned_overflow_ = warned_range_ = false;
    macs_ = weight_words_ = 0;
    phase_ = Phase::tile;
}

Cycle Engine::advance(Cycle now) {
    Cycle cycles = 0;
    while (cycles == 0 && phase_ != Phase::ended) cycles = run_phase(now);
    return cycles;
}

void Engine::count(NeurekaCounters &counters) const {
    counters.macs += static_cast<double>(macs_) * job_.weight_bits / 8;
    counters.macs_raw += macs_;
    counters.weight_words += weight_words_;
}

Cycle Engine::run_phase(Cycle now) {
    switch (phase_) {
        case Phase::tile: return begin_tile();
        case Phase::stream_in: return stream_in(now);
        case Phase::load_prepare: return begin_load();
        case Phase::load: return load(now);
        case Phase::weights_prepare: return begin_weights();
        case Phase::weights: return weights(now);
        case Phase::norm_shift: return norm_shift(now);
        case Phase::norm_scale: return norm_scale(now);
        case Phase::norm_bias: return norm_bias(now);
        case Phase::output: return output(now);
        case Phase::ended: break;
    }
    return 0;
}

int Engine::groups() const { return job_.partial(ko_) ? groups_of_eight(job_.rem_ko) : kLanes / 8; }

bool Engine::last_of_output_tile() const {
    return row_ == job_.nb_ho - 1 && column_ == job_.nb_wo - 1 && ki_ == job_.input_tiles() - 1;
}

AddressGenerator Engine::output_addresses(int groups) const {
    const std::uint32_t base = job_.outfeat + steps(row_ * kTile, job_.out.d2) + steps(column_ * kTile, job_.out.d1) +
                               steps(ko_, job_.channels_out() * job_.out_bits / 8);
    return AddressGenerator(base, job_.out, groups, kTile);
}

Cycle Engine::begin_tile() {
    datapath_.begin_tile(row_, column_);
    ki_ = 0;
    if (!job_.stream_in) {
        phase_ = Phase::load_prepare;
        return 0;
    }
    addresses_ = output_addresses(job_.depthwise ? 1 : groups());      // depthwise walks other addresses than it writes
    pixel_ = group_ = 0;
    phase_ = Phase::stream_in;
    return 0;
}

// All 36 pixels, whatever the tile's size.
Cycle Engine::stream_in(Cycle now) {
    const bool cut = ko_ == job_.nb_ko - 1 && job_.rem_ko != 0;
    const int first = 8 * group_, count = std::min(8, (cut ? job_.rem_ko : kLanes) - first);
    std::uint8_t bytes[32];
    Cycle cycles = port_.read(addresses_.next(), 4 * count, bytes, now);
    datapath_.stream_in(pixel_, first, count, bytes);
    if (++group_ < groups()) return cycles;
    group_ = 0;
    if (++pixel_ == kPixels) {
        cycles += kStreamInOverhead;
        phase_ = Phase::load_prepare;
    }
    return cycles;
}

Cycle Engine::begin_load() {
    const int tile = job_.depthwise ? ko_ : ki_;
    rows_in_ = job_.input_rows(row_), columns_in_ = job_.input_columns(column_);
    channels_ = tile == job_.nb_ki - 1 ? job_.rem_ki : kLanes;
    const std::uint32_t base = job_.infeat + steps(row_ * kTile, job_.in.d1) + steps(column_ * kTile, job_.in.d0) +
                               steps(tile, job_.channels_in());
    addresses_ = AddressGenerator(base, job_.in, columns_in_, rows_in_);
    datapath_.clear_window();
    pixel_ = 0;
    load_cycles_ = kPrefetchLoadStart;
    phase_ = Phase::load;
    return kLoadOverhead;
}

Cycle Engine::load(Cycle now) {
    std::uint8_t bytes[kLanes];
    Cycle cycles = port_.read(addresses_.next(), channels_, bytes, now);
    datapath_.load_pixel(pixel_ / columns_in_, pixel_ % columns_in_, channels_, bytes);
    if (++pixel_ == rows_in_ * columns_in_) {
        if (job_.pointwise) cycles += static_cast<Cycle>(kPixels - pixel_) + kPointwiseLoadOverhead;
        datapath_.pad(channels_);
        phase_ = Phase::weights_prepare;
    }
    load_cycles_ += cycles;
    return cycles;
}

Cycle Engine::begin_weights() {
    Cycle cycles = 0;
    if (job_.prefetch && hidden_weights_ > load_cycles_) cycles = hidden_weights_ - load_cycles_;
    const Cycle prepare = job_.depthwise ? kPrepareDepthwise : prepare_dense(job_.pointwise, job_.prefetch);
    hidden_weights_ = job_.prefetch ? prepare : 0;
    word_ = 0;
    phase_ = Phase::weights;
    return cycles + prepare;
}

Cycle Engine::weights(Cycle now) { return job_.depthwise ? depthwise_weights(now) : dense_weights(now); }

// Weight cycles are paid at once, or kept to be hidden behind the next load.
Cycle Engine::charge_weights(Cycle cycles) {
    if (!job_.prefetch || last_of_output_tile()) return cycles;
    hidden_weights_ += cycles;
    return 0;
}

std::uint32_t Engine::dense_address(int channel, int plane) const {
    const int planes = job_.pointwise ? 1 : job_.weight_bits;
    const std::uint32_t tile = steps(ko_ * kLanes, job_.nb_ki) + static_cast<std::uint32_t>(ki_);
    return job_.weights + tile * static_cast<std::uint32_t>(planes * kWeightBytes) + steps(channel, job_.weight.d1) +
           steps(plane, job_.weight.d0);
}

Cycle Engine::fetch_weights(std::uint32_t address, std::uint8_t *bytes, Cycle now) {
    if (!job_.weights_in_wmem) return port_.read(address, kWeightBytes, bytes, now);
    weight_words_++;
    if (address <= kWmemSize - kWeightBytes) {
        std::memcpy(bytes, host_.weight_memory() + address, kWeightBytes);
        return 1;
    }
    std::memset(bytes, 0, kWeightBytes);
    if (!warned_range_) host_.warn("weights read outside the weight memory are zero: " + job_.describe());
    warned_range_ = true;
    return 1;
}

// Weight memory has a port of its own, so its words come in one go; words from L1 take their cycles one by one.
Cycle Engine::dense_weights(Cycle now) {
    const int outputs = job_.outputs(ko_), planes = job_.pointwise ? 1 : job_.weight_bits, words = outputs * planes;
    Cycle cycles = 0;
    do {
        const int channel = word_ / planes, plane = word_ % planes;
        cycles += charge_weights(fetch_weights(dense_address(channel, plane), planes_ + plane * kWeightBytes, now));
        if (plane == planes - 1) datapath_.dense_weights(channel, planes_);
        word_++;
    } while (word_ < words && (job_.weights_in_wmem || cycles == 0));
    if (word_ < words) return cycles;
    datapath_.accumulate(outputs);
    macs_ += static_cast<std::uint64_t>(datapath_.real_taps()) * static_cast<std::uint64_t>(std::min(channels_, job_.channels_in()) * outputs);
    if (!job_.pointwise) cycles += charge_weights(kDense3x3Overhead);
    finish_input_tile();
    return cycles;
}

// One channel after the other; only the first one fetches, for all. Weights from L1 then cost nothing any more (as in GVSoC).
Cycle Engine::depthwise_weights(Cycle now) {
    const int channels = job_.outputs(ko_), planes = job_.weight_bits;
    Cycle cycles = 0;
    do {
        const std::uint32_t address = job_.weights + steps(ko_, planes * kWeightBytes) + steps(word_, job_.weight.d0);
        cycles += charge_weights(fetch_weights(address, planes_ + word_ * kWeightBytes, now));
        word_++;
    } while (word_ < planes && (job_.weights_in_wmem || cycles == 0));
    if (word_ < planes) return cycles;
    const Cycle reuse = job_.weights_in_wmem ? static_cast<Cycle>(planes) : 0;
    for (int channel = 1; channel < channels; channel++) {
        if (job_.prefetch && hidden_weights_ > load_cycles_) cycles += hidden_weights_ - load_cycles_;
        hidden_weights_ = 0;
        cycles += charge_weights(reuse);
    }
    datapath_.accumulate_depthwise(planes_, channels);
    macs_ += static_cast<std::uint64_t>(datapath_.real_taps()) * static_cast<std::uint64_t>(channels);
    finish_input_tile();
    return cycles;
}

void Engine::finish_input_tile() {
    group_ = word_ = 0;
    if (ki_ < job_.input_tiles() - 1) {
        ki_++;
        phase_ = Phase::load_prepare;
    } else if (job_.quantise) {
        phase_ = job_.channel_shift ? Phase::norm_shift : Phase::norm_scale;
    } else {
        begin_output();
    }
}

Cycle Engine::norm_shift(Cycle now) {
    std::uint8_t bytes[kLanes];
    const Cycle cycles = port_.read(job_.shift_table + steps(ko_, job_.channels_out()), kLanes, bytes, now);
    datapath_.set_shifts(bytes);
    phase_ = Phase::norm_scale;
    return cycles;
}

int Engine::scale_words() const {
    const bool cut = ko_ == job_.nb_ko - 1 && job_.rem_ko != 0;        // 28 depthwise channels count as 32 unless they are the last
    return ((cut ? job_.rem_ko : kLanes) * job_.scale_bits + 31) / 32;
}

Cycle Engine::norm_scale(Cycle now) {
    std::uint8_t bytes[4];
    const std::uint32_t address = job_.scale + steps(ko_, job_.channels_out() * job_.scale_bits / 8) + steps(word_, 4);
    Cycle cycles = port_.read(address, 4, bytes, now);
    const int per_word = 32 / job_.scale_bits;
    datapath_.scale(per_word * word_, per_word, bytes);
    if (++word_ == scale_words()) {
        cycles += kScaleOverhead;
        word_ = 0;
        phase_ = Phase::norm_bias;
    }
    if (datapath_.overflowed() && !warned_overflow_) {
        host_.warn("accumulator times scale exceeds 32 bits without a bias; the model keeps 64 bits: " + job_.describe());
        warned_overflow_ = true;
    }
    return cycles;
}

// Four groups of eight channels, whatever the tile's size.
Cycle Engine::norm_bias(Cycle now) {
    Cycle cycles = 0;
    if (job_.bias) {
        std::uint8_t bytes[32];
        cycles = port_.read(job_.bias_table + steps(ko_, 4 * job_.channels_out()) + steps(group_, 32), 32, bytes, now);
        datapath_.add_bias(8 * group_, bytes);
    } else {
        datapath_.shift(8 * group_);
    }
    if (++group_ == kLanes / 8) {
        cycles += kBiasOverhead;
        begin_output();
    }
    return cycles;
}

void Engine::begin_output() {
    datapath_.clip();
    addresses_ = output_addresses(job_.out_bits == 32 ? groups() : 1);
    pixel_ = group_ = 0;
    phase_ = Phase::output;
}

bool Engine::writes_pixel() const {
    const int row = pixel_ / kTile, column = pixel_ % kTile;
    if (column >= job_.output_columns(column_)) return false;
    return !job_.strided2x2 || !(row == 1 || (column == 1 && (row == 0 || row == 2)));
}

// Row by row over all six columns, except behind the last pixel.
Cycle Engine::output(Cycle now) {
    const int steps = job_.out_bits == 32 ? groups() : 1, outputs = job_.outputs(ko_);
    const std::uint32_t address = addresses_.next();
    Cycle cycles = job_.out_bits == 16 ? 0 : 1;
    if (cycles && writes_pixel()) {
        const int first = 8 * group_, count = job_.out_bits == 32 ? std::min(8, outputs - first) : outputs;
        std::uint8_t bytes[kLanes];
        datapath_.output(pixel_, first, count, bytes);
        cycles = port_.write(address, count * job_.out_bits / 8, bytes, now);
    }
    if (++group_ < steps) return cycles;
    group_ = 0;
    const int pixels = (job_.output_rows(row_) - 1) * kTile + job_.output_columns(column_);
    if (++pixel_ == pixels) {
        if (job_.pointwise) cycles += kPointwiseOutputOverhead;
        next_tile();
    }
    return cycles;
}

void Engine::next_tile() {
    phase_ = Phase::tile;
    if (++column_ < job_.nb_wo) return;
    column_ = 0;
    if (++row_ < job_.nb_ho) return;
    row_ = 0;
    if (++ko_ == job_.nb_ko) phase_ = Phase::ended;
}

}  // namespace siracusa::neureka
