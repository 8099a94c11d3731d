#include "serve.hpp"

#include <ctime>
#include <cstdio>
#include <iostream>
#include <memory>
#include <sstream>

#include "json.hpp"
#include "machine.hpp"
#include "report.hpp"
#include "visits.hpp"

namespace siracusa {
namespace {

std::string to_hex(const std::vector<std::uint8_t> &bytes) {
    static const char *const kDigits = "0123456789abcdef";
    std::string text;
    text.reserve(2 * bytes.size());
    for (const std::uint8_t byte : bytes) text += {kDigits[byte >> 4], kDigits[byte & 15]};
    return text;
}

bool from_hex(const std::string &text, std::vector<std::uint8_t> &bytes) {
    const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
    if (text.size() % 2 != 0) return false;
    for (std::size_t k = 0; k < text.size(); k += 2) {
        const int high = digit(text[k]), low = digit(text[k + 1]);
        if (high < 0 || low < 0) return false;
        bytes.push_back(static_cast<std::uint8_t>(high << 4 | low));
    }
    return true;
}

class Session {
  public:
    explicit Session(const Arguments &arguments) : arguments_(arguments) {}

    // The answer to one command.
    std::string answer(const std::string &line) {
        std::istringstream words(line);
        std::string command;
        words >> command;
        if (command == "load") {
            std::string path;
            std::getline(words >> std::ws, path);
            return load(path);
        }
        if (!machine_) return "error no program is loaded";
        if (command == "symbol") return symbol(words);
        if (command == "peek") return peek(words);
        if (command == "poke") return poke(words);
        if (command == "run") return run(words);
        return "error unknown command " + command;
    }

  private:
    std::string load(const std::string &path) {
        auto machine = std::make_unique<Machine>(arguments_.options);
        std::string error;
        if (!machine->load_file(path, error)) return "error " + error;
        visits_.reset(), machine_ = std::move(machine);
        if (!arguments_.visits.empty()) {
            visits_ = std::make_unique<Visits>(machine_->soc, machine_->elf, arguments_.visits);
            machine_->soc.observer = visits_.get();
        }
        machine_->soc.output = [this](const char *text, std::size_t size) { output_.append(text, size); };
        machine_->soc.warning = [this](const std::string &text) { warnings_.add(json_string(text)); };
        return "ok " + std::to_string(machine_->elf.entry);
    }
    std::string symbol(std::istringstream &words) {
        std::string name;
        words >> name;
        const Symbol *found = machine_->elf.find(name);
        return found == nullptr ? "error no symbol " + name : "ok " + std::to_string(found->address) + " " + std::to_string(found->size);
    }
    std::string peek(std::istringstream &words) {
        std::string place, error;
        std::uint32_t count = 0, address = 0;
        std::vector<std::uint8_t> bytes;
        if (!(words >> place >> count)) return "error peek needs a place and a number of bytes";
        if (!machine_->address(place, address, error) || !machine_->peek(address, count, bytes, error)) return "error " + error;
        return "ok " + to_hex(bytes);
    }
    std::string poke(std::istringstream &words) {
        std::string place, digits, error;
        std::uint32_t address = 0;
        std::vector<std::uint8_t> bytes;
        if (!(words >> place >> digits) || !from_hex(digits, bytes)) return "error poke needs a place and bytes in hexadecimal";
        if (!machine_->address(place, address, error) || !machine_->poke(address, bytes, error)) return "error " + error;
        return "ok";
    }
    std::string run(std::istringstream &words) {
        std::uint64_t limit = 0;
        words >> limit;
        const std::clock_t begin = std::clock();
        output_.clear(), warnings_ = {};
        machine_->soc.run(limit);
        const double cpu_seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
        JsonObject reply;
        reply.field("output", output_).raw("warnings", warnings_.str()).field("status", exit_status(*machine_));
        reply.raw("report", json_report(*machine_, arguments_.options, arguments_.constants, cpu_seconds, visits_.get()));
        return "ok " + reply.str();
    }

    const Arguments &arguments_;
    std::unique_ptr<Machine> machine_;
    std::unique_ptr<Visits> visits_;
    std::string output_;
    JsonArray warnings_;
};

}  // namespace

int serve(const Arguments &arguments) {
    Session session(arguments);
    std::string line;
    while (std::getline(std::cin, line) && line != "quit") {
        const std::string answer = session.answer(line);
        std::fwrite(answer.data(), 1, answer.size(), stdout);
        std::fputc('\n', stdout);
        std::fflush(stdout);
    }
    return 0;
}

}  // namespace siracusa
