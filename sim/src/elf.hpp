// Reads 32-bit little-endian RISC-V ELF files. Hostile input cannot read or write out of bounds.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace siracusa {

struct Segment {
    std::uint32_t address = 0, file_bytes = 0, memory_bytes = 0;
    const std::uint8_t *bytes = nullptr;      // into the file image
};
struct Symbol {
    std::uint32_t address = 0, size = 0;
    bool function = false;
    std::string name;
};

struct Elf {
    std::uint32_t entry = 0;
    std::vector<Segment> segments;            // loadable ones, in file order
    std::vector<Symbol> symbols;              // sorted by address

    // False with `error` filled when the image is not an ELF file that can be run here.
    bool parse(const std::uint8_t *image, std::size_t size, std::string &error);
    // The function or label that covers `address`, nullptr without one.
    const Symbol *at(std::uint32_t address) const;
    const Symbol *find(const std::string &name) const;
    std::string describe(std::uint32_t address) const;      // "name+0x12", or the address in hex
};

}  // namespace siracusa
