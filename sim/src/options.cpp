#include "options.hpp"

#include <cstdlib>

namespace siracusa {

const char *const kUsage =
    "usage: siracusa-sim [options] FILE.elf\n"
    "Runs a bare-metal ELF on a model of Siracusa. Program output goes to stdout, everything else to stderr.\n"
    "  --timing gvsoc|chip   which timing model (default chip)\n"
    "  --max-cycles N        stop after N cluster cycles\n"
    "  --strict              a job outside N-EUREKA's legal ones stops the run\n"
    "  --xpulpnn             decode XpulpNN as well\n"
    "  --trace FILE          write every instruction ('-': stderr)\n"
    "  --trace-cores LIST    of these cores only: numbers 0..8 and fc, with commas\n"
    "  --trace-range A:B     at addresses A to B only\n"
    "  --perfetto FILE       write a timeline for ui.perfetto.dev\n"
    "  --profile FILE        write cycles per symbol, stalls by cause, instruction mix ('-': stderr)\n"
    "  --visits LIST         functions, with commas: the report has the latest visit of each, with its calls and transfers\n"
    "  --json FILE           write the report\n"
    "  --energy NAME=PJ      override a constant of the energy model\n"
    "  --poke PLACE=FILE     copy a file to memory before the run; PLACE is an address or symbol, with +offset\n"
    "  --dump PLACE:N=FILE   write N bytes of memory to a file after the run\n"
    "  --quiet               no summary on stderr\n"
    "  --serve               take commands on stdin: load, peek, poke, symbol, run, quit\n"
    "Exit status: the program's; 2 wrong usage or file; 3 fault, deadlock or cycle limit.\n";

namespace {

bool number(const std::string &text, unsigned long long &value) {
    char *end = nullptr;
    value = std::strtoull(text.c_str(), &end, 0);
    return !text.empty() && text[0] != '-' && *end == '\0';
}

bool core_list(const std::string &text, std::uint32_t &mask) {
    mask = 0;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t comma = std::min(text.find(',', at), text.size());
        const std::string item = text.substr(at, comma - at);
        unsigned long long core = 0;
        if (item == "fc") core = kFabric;
        else if (!number(item, core) || core >= kClusterCores) return false;
        mask |= 1u << core;
        at = comma + 1;
    }
    return mask != 0;
}

bool names(const std::string &text, std::vector<std::string> &list) {
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t comma = std::min(text.find(',', at), text.size());
        if (comma == at) return false;
        list.push_back(text.substr(at, comma - at));
        at = comma + 1;
    }
    return true;
}

bool address_range(const std::string &text, TraceChoice &choice) {
    const std::size_t colon = text.find(':');
    unsigned long long first = 0, last = 0;
    if (colon == std::string::npos || !number(text.substr(0, colon), first) || !number(text.substr(colon + 1), last) || last < first || last > ~0u) return false;
    choice.first = static_cast<std::uint32_t>(first), choice.last = static_cast<std::uint32_t>(last);
    return true;
}

bool assignment(const std::string &text, std::vector<std::pair<std::string, std::string>> &list) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) return false;
    list.emplace_back(text.substr(0, equals), text.substr(equals + 1));
    return true;
}

// An option with a value; false with `error` filled when it is unknown or the value is wrong.
bool take(const std::string &name, const std::string &value, Arguments &a, std::string &error) {
    unsigned long long parsed = 0;
    bool good = true;
    if (name == "--timing") {
        good = value == "gvsoc" || value == "chip";
        a.options.timing = value == "gvsoc" ? Timing::gvsoc : Timing::chip;
    } else if (name == "--max-cycles") {
        good = number(value, parsed) && parsed > 0;
        a.options.max_cycles = parsed;
    } else if (name == "--trace") {
        a.trace = value;
    } else if (name == "--trace-cores") {
        good = core_list(value, a.trace_choice.cores);
    } else if (name == "--trace-range") {
        good = address_range(value, a.trace_choice);
    } else if (name == "--perfetto") {
        a.perfetto = value;
    } else if (name == "--profile") {
        a.profile = value;
    } else if (name == "--visits") {
        good = names(value, a.visits);
    } else if (name == "--json") {
        a.json = value;
    } else if (name == "--energy") {
        return override_energy(a.constants, value, error);
    } else if (name == "--poke") {
        good = assignment(value, a.pokes);
    } else if (name == "--dump") {
        good = assignment(value, a.dumps) && a.dumps.back().first.find(':') != std::string::npos;
    } else {
        error = "unknown option " + name;
        return false;
    }
    if (!good) error = "wrong value for " + name + ": " + value;
    return good;
}

}  // namespace

bool parse_arguments(int count, char **words, Arguments &a, std::string &error) {
    for (int k = 1; k < count; k++) {
        std::string word = words[k];
        if (word == "--strict") a.options.strict = true;
        else if (word == "--xpulpnn") a.options.xpulpnn = true;
        else if (word == "--quiet") a.quiet = true;
        else if (word == "--serve") a.serve = true;
        else if (word == "--help" || word == "-h") a.help = true;
        else if (word.rfind("--", 0) == 0) {
            const std::size_t equals = word.find('=');
            std::string value;
            if (equals != std::string::npos) {
                value = word.substr(equals + 1), word = word.substr(0, equals);
            } else if (++k < count) {
                value = words[k];
            } else {
                error = word + " needs a value";
                return false;
            }
            if (!take(word, value, a, error)) return false;
        } else if (a.elf.empty()) {
            a.elf = word;
        } else {
            error = "more than one file: " + a.elf + ", " + word;
            return false;
        }
    }
    if (a.elf.empty() && !a.serve && !a.help) {
        error = "no ELF file given";
        return false;
    }
    return true;
}

}  // namespace siracusa
