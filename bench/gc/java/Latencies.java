// Latencies in buckets, as in ../cpp/record.hpp.
// SPDX-License-Identifier: MIT
final class Latencies {
    private final int[] buckets = new int[61 * 32];
    long samples = 0, worst = 0;

    void add(long ns) {
        int shift = ns < 64 ? 0 : 58 - Long.numberOfLeadingZeros(ns);
        ++buckets[shift * 32 + (int) (ns >>> shift)];
        ++samples;
        worst = Math.max(worst, ns);
    }

    double quantile(double share) {
        long seen = 0;
        for (int bucket = 0; bucket < buckets.length; ++bucket) {
            seen += buckets[bucket];
            if (seen > 0 && seen >= share * samples) {
                if (bucket < 64) return bucket;
                int shift = bucket / 32 - 1;
                return ((bucket - shift * 32 + 1L) << shift) - 1;
            }
        }
        return worst;
    }

    void report() {
        Main.add("p50_ns", quantile(0.5));
        Main.add("p99_ns", quantile(0.99));
        Main.add("p999_ns", quantile(0.999));
        Main.count("max_ns", worst);
    }
}
