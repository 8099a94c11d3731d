// An ELF on the chip: loading, running, reading and writing memory by symbol. What the program and the fuzzer share.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "elf.hpp"
#include "soc.hpp"

namespace siracusa {

class Machine {
  public:
    explicit Machine(const Options &options) : soc(options) {}

    // Loads the segments and lets the fabric controller start at the entry. False with `error` filled.
    bool load(std::vector<std::uint8_t> image, std::string &error);
    bool load_file(const std::string &path, std::string &error);

    // "symbol", "symbol+0x10" or a number; false with `error` filled.
    bool address(const std::string &text, std::uint32_t &value, std::string &error) const;
    bool poke(std::uint32_t address, const std::vector<std::uint8_t> &bytes, std::string &error);
    bool peek(std::uint32_t address, std::uint32_t count, std::vector<std::uint8_t> &bytes, std::string &error);

    Soc soc;
    Elf elf;

  private:
    std::vector<std::uint8_t> image_;
};

bool read_file(const std::string &path, std::vector<std::uint8_t> &bytes, std::string &error);

}  // namespace siracusa
