#include "machine.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace siracusa {

bool read_file(const std::string &path, std::vector<std::uint8_t> &bytes, std::string &error) {
    constexpr long kLimit = 1l << 30;
    std::FILE *file = std::fopen(path.c_str(), "rb");
    if (file == nullptr) {
        error = path + ": " + std::strerror(errno);
        return false;
    }
    bool good = std::fseek(file, 0, SEEK_END) == 0;
    const long size = good ? std::ftell(file) : -1;
    good = size >= 0 && size <= kLimit && std::fseek(file, 0, SEEK_SET) == 0;
    if (good) {
        bytes.resize(static_cast<std::size_t>(size));
        good = std::fread(bytes.data(), 1, bytes.size(), file) == bytes.size();
    }
    std::fclose(file);
    if (!good) error = path + ": cannot be read";
    return good;
}

bool Machine::load_file(const std::string &path, std::string &error) {
    std::vector<std::uint8_t> image;
    if (!read_file(path, image, error)) return false;
    if (load(std::move(image), error)) return true;
    error = path + ": " + error;
    return false;
}

bool Machine::load(std::vector<std::uint8_t> image, std::string &error) {
    image_ = std::move(image);
    if (!elf.parse(image_.data(), image_.size(), error)) return false;
    for (const Segment &segment : elf.segments) {
        std::uint8_t *memory = soc.memory(segment.address, segment.memory_bytes);
        if (memory == nullptr) {
            char text[128];
            std::snprintf(text, sizeof text, "segment of 0x%x bytes at 0x%08x lies outside L1, L2 and weight memory", segment.memory_bytes, segment.address);
            error = text;
            return false;
        }
        std::memcpy(memory, segment.bytes, segment.file_bytes);
        std::memset(memory + segment.file_bytes, 0, segment.memory_bytes - segment.file_bytes);
        soc.memory_changed(segment.address, segment.memory_bytes);
    }
    soc.start(elf.entry);
    return true;
}

bool Machine::address(const std::string &text, std::uint32_t &value, std::string &error) const {
    const std::size_t plus = text.find('+');
    const std::string name = text.substr(0, plus);
    char *end = nullptr;
    std::uint32_t base = static_cast<std::uint32_t>(std::strtoul(name.c_str(), &end, 0));
    if (name.empty() || *end != '\0') {
        const Symbol *symbol = elf.find(name);
        if (symbol == nullptr) {
            error = "no symbol " + name;
            return false;
        }
        base = symbol->address;
    }
    std::uint32_t offset = 0;
    if (plus != std::string::npos) {
        offset = static_cast<std::uint32_t>(std::strtoul(text.c_str() + plus + 1, &end, 0));
        if (plus + 1 == text.size() || *end != '\0') {
            error = "not an offset: " + text.substr(plus + 1);
            return false;
        }
    }
    value = base + offset;
    return true;
}

bool Machine::poke(std::uint32_t address, const std::vector<std::uint8_t> &bytes, std::string &error) {
    std::uint8_t *memory = soc.memory(address, static_cast<std::uint32_t>(bytes.size()));
    if (memory == nullptr || bytes.size() > kWmemSize) {
        error = "not in one memory: " + std::to_string(bytes.size()) + " bytes at " + elf.describe(address);
        return false;
    }
    std::memcpy(memory, bytes.data(), bytes.size());
    soc.memory_changed(address, static_cast<std::uint32_t>(bytes.size()));
    return true;
}

bool Machine::peek(std::uint32_t address, std::uint32_t count, std::vector<std::uint8_t> &bytes, std::string &error) {
    const std::uint8_t *memory = soc.memory(address, count);
    if (memory == nullptr) {
        error = "not in one memory: " + std::to_string(count) + " bytes at " + elf.describe(address);
        return false;
    }
    bytes.assign(memory, memory + count);
    return true;
}

}  // namespace siracusa
