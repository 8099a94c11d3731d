#include "elf.hpp"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace siracusa {
namespace {

constexpr std::size_t kHeader = 52, kProgramHeader = 32, kSectionHeader = 40, kSymbol = 16;
constexpr std::uint32_t kLoad = 1, kSymbolTable = 2, kRiscv = 243;
constexpr std::size_t kMaxSymbols = 1u << 20;

struct Image {
    const std::uint8_t *bytes;
    std::size_t size;
    bool has(std::uint64_t offset, std::uint64_t count) const { return offset <= size && count <= size - offset; }
    std::uint32_t word(std::size_t at) const {
        std::uint32_t value;
        std::memcpy(&value, bytes + at, 4);
        return value;
    }
    std::uint32_t half(std::size_t at) const { return bytes[at] | std::uint32_t{bytes[at + 1]} << 8; }
};

void read_symbols(const Image &image, std::vector<Symbol> &symbols) {
    const std::uint32_t table = image.word(32), entry_size = image.half(46), count = image.half(48);
    if (entry_size != kSectionHeader || !image.has(table, std::uint64_t{count} * kSectionHeader)) return;
    for (std::uint32_t k = 0; k < count; k++) {
        const std::size_t header = table + k * kSectionHeader;
        const std::uint32_t link = image.word(header + 24), offset = image.word(header + 16), bytes = image.word(header + 20);
        if (image.word(header + 4) != kSymbolTable || link >= count || !image.has(offset, bytes)) continue;
        const std::size_t names_header = table + link * kSectionHeader;
        const std::uint32_t names = image.word(names_header + 16), names_size = image.word(names_header + 20);
        if (!image.has(names, names_size)) continue;
        for (std::size_t at = offset; at + kSymbol <= std::size_t{offset} + bytes && symbols.size() < kMaxSymbols; at += kSymbol) {
            const std::uint32_t name = image.word(at), kind = image.bytes[at + 12] & 15, section = image.half(at + 14);
            if (name == 0 || name >= names_size || kind > 2 || section == 0) continue;
            const char *text = reinterpret_cast<const char *>(image.bytes + names + name);
            const std::size_t length = strnlen(text, std::min<std::size_t>(names_size - name, 512));
            if (length == 0 || text[0] == '$' || (length >= 2 && text[0] == '.' && text[1] == 'L')) continue;
            symbols.push_back({image.word(at + 4), image.word(at + 8), kind == 2, std::string(text, length)});
        }
    }
    std::stable_sort(symbols.begin(), symbols.end(), [](const Symbol &a, const Symbol &b) {
        return a.address != b.address ? a.address < b.address : a.function < b.function;
    });
}

}  // namespace

bool Elf::parse(const std::uint8_t *bytes, std::size_t size, std::string &error) {
    const Image image{bytes, size};
    if (size < kHeader || std::memcmp(bytes, "\177ELF\1\1", 6) != 0) {
        error = "not a 32-bit little-endian ELF file";
        return false;
    }
    if (image.half(18) != kRiscv) {
        error = "not a RISC-V file";
        return false;
    }
    entry = image.word(24);
    const std::uint32_t table = image.word(28), entry_size = image.half(42), count = image.half(44);
    if (count == 0 || entry_size != kProgramHeader || !image.has(table, std::uint64_t{count} * kProgramHeader)) {
        error = "no program headers";
        return false;
    }
    for (std::uint32_t k = 0; k < count; k++) {
        const std::size_t header = table + k * kProgramHeader;
        if (image.word(header) != kLoad) continue;
        Segment segment{image.word(header + 12), image.word(header + 16), image.word(header + 20), nullptr};
        const std::uint32_t offset = image.word(header + 4);
        if (segment.memory_bytes == 0) continue;
        if (segment.file_bytes > segment.memory_bytes || !image.has(offset, segment.file_bytes)) {
            error = "segment " + std::to_string(k) + " reaches beyond the end of the file";
            return false;
        }
        segment.bytes = bytes + offset;
        segments.push_back(segment);
    }
    read_symbols(image, symbols);
    return true;
}

const Symbol *Elf::at(std::uint32_t address) const {
    auto after = std::upper_bound(symbols.begin(), symbols.end(), address, [](std::uint32_t a, const Symbol &s) { return a < s.address; });
    if (after == symbols.begin()) return nullptr;
    const Symbol &found = *(after - 1);
    const std::uint32_t distance = address - found.address;
    if (found.size != 0 ? distance >= found.size : distance > 0x10000) return nullptr;
    return &found;
}

const Symbol *Elf::find(const std::string &name) const {
    const auto found = std::find_if(symbols.begin(), symbols.end(), [&](const Symbol &s) { return s.name == name; });
    return found == symbols.end() ? nullptr : &*found;
}

std::string Elf::describe(std::uint32_t address) const {
    char text[32];
    const Symbol *symbol = at(address);
    if (symbol == nullptr) {
        std::snprintf(text, sizeof text, "0x%08x", address);
        return text;
    }
    std::snprintf(text, sizeof text, "+0x%x", address - symbol->address);
    return symbol->name + (address == symbol->address ? "" : text);
}

}  // namespace siracusa
