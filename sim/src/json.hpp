// Just enough JSON to write reports.
#pragma once
#include <cstdio>
#include <string>

namespace siracusa {

inline std::string json_string(const std::string &text) {
    std::string out = "\"";
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte >= 0x7f) {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\u%04x", byte);
            out += escaped;
        } else {
            out += c;
        }
    }
    return out + "\"";
}

// An object that is written field by field.
class JsonObject {
  public:
    JsonObject &field(const std::string &name, const std::string &value) { return raw(name, json_string(value)); }
    JsonObject &field(const std::string &name, const char *value) { return raw(name, json_string(value)); }
    JsonObject &field(const std::string &name, bool value) { return raw(name, value ? "true" : "false"); }
    JsonObject &field(const std::string &name, unsigned long value) { return raw(name, std::to_string(value)); }
    JsonObject &field(const std::string &name, unsigned long long value) { return raw(name, std::to_string(value)); }
    JsonObject &field(const std::string &name, unsigned value) { return raw(name, std::to_string(value)); }
    JsonObject &field(const std::string &name, int value) { return raw(name, std::to_string(value)); }
    JsonObject &field(const std::string &name, double value) {
        char text[40];
        std::snprintf(text, sizeof text, "%.9g", value);
        return raw(name, text);
    }
    JsonObject &raw(const std::string &name, const std::string &json) {
        body_ += (body_.empty() ? "" : ", ") + json_string(name) + ": " + json;
        return *this;
    }
    std::string str() const { return "{" + body_ + "}"; }

  private:
    std::string body_;
};

class JsonArray {
  public:
    JsonArray &add(const std::string &json) {
        body_ += (body_.empty() ? "" : ", ") + json;
        return *this;
    }
    std::string str() const { return "[" + body_ + "]"; }

  private:
    std::string body_;
};

}  // namespace siracusa
