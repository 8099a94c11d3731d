// What a run says afterwards: faults, deadlocks, figures; as text and as JSON.
#pragma once
#include <string>
#include <vector>

#include "energy.hpp"
#include "machine.hpp"

namespace siracusa {

class Visits;

// "core 3", "fabric controller".
std::string core_name(int core);

// Why the run ended, empty after a normal exit. Several lines: core, pc, symbol, address, backtrace; who waits for what.
std::string ending_report(Machine &machine);
// One line: cycles, instructions, energy (a model).
std::string summary(const Machine &machine, const std::vector<EnergyConstant> &constants);
std::string energy_json(const std::vector<EnergyTerm> &terms);
std::string json_report(Machine &machine, const Options &options, const std::vector<EnergyConstant> &constants, double cpu_seconds, const Visits *visits);
// The exit status of the process.
int exit_status(const Machine &machine);

}  // namespace siracusa
