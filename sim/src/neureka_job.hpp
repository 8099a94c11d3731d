// One N-EUREKA job: the 24 registers as named fields, and what is wrong with them.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace siracusa::neureka {

inline constexpr int kJobRegisters = 24;
inline constexpr int kTile = 6;           // output rows and columns of a tile: 6 x 6 processing elements
inline constexpr int kPixels = kTile * kTile;
inline constexpr int kWindow = 8;         // input rows and columns of a 3x3 tile
inline constexpr int kLanes = 32;         // channels of a tile; 28 of them for 3x3 inputs and depthwise
inline constexpr int kLanes3x3 = 28;
inline constexpr int kWeightBytes = 32;   // one 256-bit weight word

using Registers = std::array<std::uint32_t, kJobRegisters>;

struct Strides {
    std::int32_t d0, d1, d2;
};

// Counters of a dimension: how many tiles, and the size of the last one (0 stands for a full one).
struct Job {
    std::uint32_t weights, infeat, outfeat, scale, shift_table, bias_table;
    Strides in, out, weight;
    int rem_ko, rem_ki, rem_ho, rem_wo, rem_hi, rem_wi;
    int nb_ko, nb_ki, nb_ho, nb_wo;
    int pad_top, pad_right, pad_bottom, pad_left, pad_value;
    std::int32_t weight_offset;           // Wmin
    std::uint32_t filter_mask;            // bit = 1: tap off
    int weight_bits, scale_bits, out_bits, right_shift;
    bool pointwise, depthwise;            // neither: dense 3x3
    bool quantise, relu, bias, channel_shift, stream_in, signed_input;
    bool weights_in_wmem, prefetch, strided2x2, mode16, linear;

    int channels_out() const { return depthwise ? kLanes3x3 : kLanes; }      // output channels of a full tile
    int channels_in() const { return pointwise ? kLanes : kLanes3x3; }       // input channels of a full tile
    int input_tiles() const { return depthwise ? 1 : nb_ki; }                // per output tile
    int input_rows(int tile_row) const { return edge(tile_row, nb_ho, rem_hi, window()); }
    int input_columns(int tile_column) const { return edge(tile_column, nb_wo, rem_wi, window()); }
    int output_rows(int tile_row) const { return edge(tile_row, nb_ho, rem_ho, kTile); }
    int output_columns(int tile_column) const { return edge(tile_column, nb_wo, rem_wo, kTile); }
    // Output channels of tile `ko`, and whether it is the last one and smaller than a full tile.
    bool partial(int ko) const { return ko == nb_ko - 1 && rem_ko != channels_out() && rem_ko != 0; }
    int outputs(int ko) const { return partial(ko) ? rem_ko : channels_out(); }
    std::string describe() const;

  private:
    int window() const { return pointwise ? kTile : kWindow; }
    static int edge(int index, int count, int rem, int full) { return index < count - 1 || rem == 0 ? full : rem; }
};

Job decode(const Registers &registers);

// Empty when the engine can run the job at all; otherwise why not (GVSoC asserts or leaves its buffers).
std::string malformed(const Job &job);
// The jobs on which the model and the mathematical definition part, or that nobody has tested.
std::vector<std::string> doubts(const Job &job);

}  // namespace siracusa::neureka
