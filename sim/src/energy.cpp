#include "energy.hpp"

#include <cmath>
#include <cstdlib>

namespace siracusa {

namespace {

// Cycles, bytes, MACs or words that a constant is charged for. The fabric controller is part of the background; so is the
// cluster's controller core while it sleeps, as the balance behind `background` counts eight cores.
double amount_of(const std::string &name, const Activity &activity) {
    double awake = 0, asleep = 0;
    for (std::size_t core = 0; core < kClusterCores; core++) awake += static_cast<double>(activity.awake[core]);
    for (std::size_t core = 0; core < kWorkers; core++) asleep += static_cast<double>(activity.asleep[core]);
    if (name == "core") return awake;
    if (name == "sleep") return asleep;
    if (name == "background") return static_cast<double>(activity.cycles);
    if (name == "dma") return static_cast<double>(activity.dma_bytes);
    if (name == "npu") return static_cast<double>(activity.npu_busy);
    if (name == "mac") return activity.npu_macs;
    if (name == "wmem") return static_cast<double>(activity.weight_words);
    return static_cast<double>(activity.external_bytes);
}

}  // namespace

std::vector<EnergyConstant> energy_constants() {
    return {
#define ENERGY(name, picojoule, unit, source) {#name, picojoule, unit, source},
#include "energy.def"
#undef ENERGY
    };
}

bool override_energy(std::vector<EnergyConstant> &constants, const std::string &assignment, std::string &error) {
    const std::size_t equals = assignment.find('=');
    const std::string name = assignment.substr(0, equals);
    const std::string text = equals == std::string::npos ? "" : assignment.substr(equals + 1);
    char *end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != '\0' || !std::isfinite(value) || value < 0) {
        error = "energy constant '" + assignment + "': expected name=pJ with a number of 0 or more";
        return false;
    }
    std::string known;
    for (EnergyConstant &constant : constants) {
        if (constant.name == name) {
            constant.picojoule = value;
            constant.source = "given by the user";
            return true;
        }
        known += (known.empty() ? "" : ", ") + constant.name;
    }
    error = "energy constant '" + name + "' is unknown; there are " + known;
    return false;
}

std::vector<EnergyTerm> energy(const Activity &activity, const std::vector<EnergyConstant> &constants) {
    std::vector<EnergyTerm> terms;
    double total = 0;
    for (const EnergyConstant &constant : constants) {
        const double amount = amount_of(constant.name, activity);
        terms.push_back({constant.name, amount, amount * constant.picojoule * 1e-6, 0, 0, 0});
        total += terms.back().microjoule;
    }
    for (EnergyTerm &term : terms) {
        term.share = total > 0 ? term.microjoule / total : 0;
        term.total_if_halved = total - term.microjoule / 2;
        term.total_if_doubled = total + term.microjoule;
    }
    return terms;
}

}  // namespace siracusa
