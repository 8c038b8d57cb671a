// xorshift64*, as in ../../harness.hpp.
// SPDX-License-Identifier: MIT
final class Dice {
    private long state;

    Dice(long seed) {
        state = seed * 0x9e3779b97f4a7c15L + 1;
    }

    int next() {
        state ^= state >>> 12;
        state ^= state << 25;
        state ^= state >>> 27;
        return (int) ((state * 0x2545f4914f6cdd1dL) >>> 32);
    }

    int below(int bound) {
        return (int) (((next() & 0xffffffffL) * bound) >>> 32);
    }
}
