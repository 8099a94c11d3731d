#include "neureka_job.hpp"

#include <algorithm>

namespace siracusa::neureka {

namespace {

int high(std::uint32_t word) { return static_cast<int>(word >> 16); }
int low(std::uint32_t word) { return static_cast<int>(word & 0xffff); }
bool bit(std::uint32_t word, int index) { return word >> index & 1; }
int field(std::uint32_t word, int at, int width) { return static_cast<int>(word >> at & ((1u << width) - 1)); }
Strides strides(const Registers &r, int first) {
    const auto at = [&](int i) { return static_cast<std::int32_t>(r[static_cast<std::size_t>(first + i)]); };
    return {at(0), at(1), at(2)};
}

}  // namespace

Job decode(const Registers &r) {
    Job job{};
    job.weights = r[0];
    job.infeat = r[1];
    job.outfeat = r[2];
    job.scale = r[3];
    job.shift_table = r[4];
    job.bias_table = r[5];
    job.in = strides(r, 6);
    job.out = strides(r, 9);
    job.weight = strides(r, 12);
    job.rem_ko = high(r[15]), job.rem_ki = low(r[15]);
    job.rem_ho = high(r[16]), job.rem_wo = low(r[16]);
    job.rem_hi = high(r[17]), job.rem_wi = low(r[17]);
    job.nb_ko = high(r[18]), job.nb_ki = low(r[18]);
    job.nb_ho = high(r[19]), job.nb_wo = low(r[19]);
    job.pad_top = field(r[20], 28, 4), job.pad_right = field(r[20], 24, 4);
    job.pad_bottom = field(r[20], 20, 4), job.pad_left = field(r[20], 16, 4);
    job.pad_value = low(r[20]);
    job.weight_offset = static_cast<std::int32_t>(r[21]);
    job.filter_mask = r[22] & 0x1ff;

    const std::uint32_t conf = r[23];
    const int mode = field(conf, 5, 2);
    job.weight_bits = field(conf, 0, 3) + 1;
    job.mode16 = bit(conf, 3);
    job.quantise = bit(conf, 4);
    job.pointwise = mode >= 2;
    job.depthwise = mode == 1;
    job.linear = bit(conf, 7);
    job.strided2x2 = bit(conf, 8);
    job.weights_in_wmem = bit(conf, 9);
    job.prefetch = bit(conf, 10);
    job.scale_bits = 8 << field(conf, 12, 2);
    job.stream_in = bit(conf, 14);
    job.right_shift = field(conf, 16, 5);
    job.out_bits = 8 << field(conf, 21, 2);
    job.relu = !bit(conf, 23);
    job.channel_shift = bit(conf, 24);
    job.bias = bit(conf, 25);
    job.signed_input = bit(conf, 26);
    return job;
}

std::string malformed(const Job &job) {
    const int window = job.pointwise ? kTile : kWindow;
    if (job.nb_ko == 0 || job.nb_ki == 0 || job.nb_ho == 0 || job.nb_wo == 0) return "a tile count (NB0, NB1) is zero";
    if (job.rem_ko > job.channels_out() || job.rem_ki > job.channels_in()) return "REM0 exceeds the tile's channels";
    if (job.rem_ho > kTile || job.rem_wo > kTile) return "REM1 exceeds 6 output rows or columns";
    if (job.rem_hi > window || job.rem_wi > window) return "REM2 exceeds the input window";
    if (job.stream_in && job.out_bits != 32) return "stream-in needs 32-bit output";
    if (job.filter_mask != 0 && job.pointwise) return "the filter mask needs a 3x3 mode";
    if (job.depthwise && (job.rem_ko != job.rem_ki || job.nb_ko != job.nb_ki))
        return "depthwise needs equal input and output channels (REM0, NB0)";
    if (job.mode16 && job.depthwise) return "mode16 excludes depthwise";
    if (job.linear && !job.pointwise) return "linear mode needs 1x1";
    if (job.scale_bits == 64 || job.out_bits == 64) return "reserved width of scale or output";
    return {};
}

std::vector<std::string> doubts(const Job &job) {
    std::vector<std::string> found;
    if ((job.pad_right > 0 || job.pad_bottom > 0) && job.pad_value != 0)
        found.push_back("padding value other than 0 on the right or bottom: the border may read 0 or memory instead");
    if ((job.pad_bottom >= 2 && job.rem_ho == 1 && job.nb_ho > 1) || (job.pad_right >= 2 && job.rem_wo == 1 && job.nb_wo > 1))
        found.push_back("padding 2 at the bottom or right of a last tile of one row or column: the tile before it reads past the input");
    if (std::max({job.pad_top, job.pad_right, job.pad_bottom, job.pad_left}) > 2) found.push_back("padding above 2");
    if (job.pointwise && (job.pad_top || job.pad_right || job.pad_bottom || job.pad_left)) found.push_back("padding in 1x1 mode");
    if (job.strided2x2) found.push_back("strided2x2 only suppresses pixels of a 3x3 tile, outputs stay at unstrided places");
    if (job.depthwise && job.stream_in) found.push_back("depthwise stream-in reads wrong addresses");
    if (job.mode16 || job.linear) found.push_back("mode16 and linear mode are not modelled: the job runs as 8-bit 1x1");
    if (job.out_bits == 16) found.push_back("16-bit output writes nothing");
    if (job.quantise && job.scale_bits == 16) found.push_back("16-bit scales are untested");
    return found;
}

std::string Job::describe() const {
    const auto size = [](int tiles, int full, int rem) { return std::to_string((tiles - 1) * full + (rem ? rem : full)); };
    const std::string cin = size(nb_ki, channels_in(), rem_ki), cout = size(nb_ko, channels_out(), rem_ko);
    return std::string(pointwise ? "1x1" : depthwise ? "3x3 depthwise" : "3x3") + " " + cin + "->" + cout + " " +
           size(nb_ho, kTile, rem_ho) + "x" + size(nb_wo, kTile, rem_wo) + " w" + std::to_string(weight_bits) +
           (weights_in_wmem ? "" : " L1") + (prefetch ? " prefetch" : "") + (stream_in ? " stream-in" : "") +
           (out_bits == 8 ? "" : " out" + std::to_string(out_bits));
}

}  // namespace siracusa::neureka
