// Checks for the unit tests: count failures, print where and what.
#pragma once
#include <cstdio>
#include <string>

namespace check {

inline int failures = 0;

inline void equal(const std::string &got, const std::string &want, const char *where, int line) {
    if (got == want) return;
    std::printf("%s:%d: got '%s', expected '%s'\n", where, line, got.c_str(), want.c_str());
    failures++;
}

inline void holds(bool condition, const char *what, const char *where, int line) {
    if (condition) return;
    std::printf("%s:%d: %s does not hold\n", where, line, what);
    failures++;
}

}  // namespace check

#define CHECK_EQUAL(got, want) check::equal(got, want, __FILE__, __LINE__)
#define CHECK(condition) check::holds(condition, #condition, __FILE__, __LINE__)
