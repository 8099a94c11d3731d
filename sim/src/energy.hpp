// The energy model: activity times constants. A model, not a measurement.
#pragma once
#include <string>
#include <vector>

#include "types.hpp"

namespace siracusa {

// One constant in pJ, with where it comes from.
struct EnergyConstant {
    std::string name;      // core, sleep, background, dma, npu, mac, wmem, ext
    double picojoule;
    std::string unit;      // "cycle", "byte", "MAC", "word"
    std::string source;
};

std::vector<EnergyConstant> energy_constants();                       // the defaults, from energy.def
// Override from "name=pJ"; false with `error` filled when the name is unknown or the value is not a number >= 0.
bool override_energy(std::vector<EnergyConstant> &constants, const std::string &assignment, std::string &error);

struct EnergyTerm {
    std::string name;
    double amount;         // cycles, bytes, MACs, words
    double microjoule;
    double share;          // of the total, 0..1
    double total_if_halved, total_if_doubled;   // uJ of the whole run, were this constant off by two
};
std::vector<EnergyTerm> energy(const Activity &activity, const std::vector<EnergyConstant> &constants);

}  // namespace siracusa
