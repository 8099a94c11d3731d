# Toolchain file: clang from the Python package `ziglang`, with the flags that the compiler's own builds have.
# Any python that has the package will do: -DTW_PYTHON=PATH, or the first python3 of the PATH.
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR riscv32)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
find_program(TW_PYTHON NAMES python3 python REQUIRED)

set(flags
    @CFLAGS@)
list(JOIN flags " " flags)
foreach(language C ASM)
    set(CMAKE_${language}_COMPILER ${TW_PYTHON})
    set(CMAKE_${language}_COMPILER_ARG1 "-m ziglang cc -target @TRIPLE@")
    set(CMAKE_${language}_COMPILER_ID Clang)
    set(CMAKE_${language}_COMPILER_ID_RUN TRUE)
    set(CMAKE_${language}_COMPILER_FORCED TRUE)
    set(CMAKE_${language}_FLAGS_INIT ${flags})
endforeach()
