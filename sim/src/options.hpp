// The program's command line.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "energy.hpp"
#include "soc.hpp"
#include "trace.hpp"

namespace siracusa {

struct Arguments {
    Options options;
    std::string elf;
    std::string json, trace, perfetto, profile;      // files; "-" is stderr for trace and profile
    TraceChoice trace_choice;
    std::vector<std::string> visits;                 // functions
    std::vector<std::pair<std::string, std::string>> pokes;                    // place, file
    std::vector<std::pair<std::string, std::string>> dumps;                    // "place:bytes", file
    std::vector<EnergyConstant> constants = energy_constants();
    bool serve = false, quiet = false, help = false;
};

// False with `error` filled when the command line is wrong.
bool parse_arguments(int count, char **words, Arguments &arguments, std::string &error);
extern const char *const kUsage;

}  // namespace siracusa
