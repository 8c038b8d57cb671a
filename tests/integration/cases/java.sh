#!/usr/bin/env bash
# The Java virtual machine starts and answers; with a compiler it also runs a program with threads.
# needs: java
# SPDX-License-Identifier: MIT
set -eu
java -XX:+UseSerialGC -Xshare:auto -version 2>&1
command -v javac > /dev/null || exit 0
cat > Work.java <<'JAVA'
import java.util.*;
public class Work {
    public static void main(String[] arguments) throws Exception {
        long[] sums = new long[4];
        Thread[] threads = new Thread[4];
        for (int t = 0; t < 4; t++) {
            final int at = t;
            threads[t] = new Thread(() -> {
                Map<Integer, String> map = new HashMap<>();
                Random random = new Random(at);
                for (int i = 0; i < 100000; i++) map.merge(random.nextInt(5000), "x", String::concat);
                for (String s : map.values()) sums[at] += (long) s.length() * s.length();
            });
            threads[t].start();
        }
        for (Thread t : threads) t.join();
        System.out.println(Arrays.toString(sums));
    }
}
JAVA
javac -J-XX:+UseSerialGC Work.java
exec java -XX:+UseSerialGC Work
