/*
 * wide.h - the same loop for wider registers
 *
 * FL_WIDEST in front of a function makes the compiler translate it several times,
 * for AVX2 and AVX-512 too, and picks one when the program starts.  Without
 * -ffast-math the results are the same bits: only independent numbers are
 * computed side by side.
 *
 * FL_WIDE_PART stands in front of the functions that such a one is made of.  They
 * must become part of it: one that the compiler leaves alone is translated for
 * narrow registers only, and called from all the copies.
 */
#ifndef FL_WIDE_H
#define FL_WIDE_H

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define FL_WIDEST __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define FL_WIDEST
#endif

#if defined(__GNUC__)
#define FL_WIDE_PART static inline __attribute__((always_inline))
#else
#define FL_WIDE_PART static inline
#endif

#endif
