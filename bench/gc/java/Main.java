// The set in Java: same work, same dice and same answers as ../cpp, in the words of Java.
//
//   java [-Xlog:safepoint*:file=F -Dsafepoints=F] -cp CLASSES Main impl benchmark key=value ...
//
// Prints one line of JSON. The stops of the world are read from the JVM's own log, where it is asked for.
// SPDX-License-Identifier: MIT
import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public final class Main {
    interface Program {
        void run() throws Exception;
    }

    static final Map<String, Program> programs = Map.of(
        "trees", Trees::run, "mix", Mix::run, "graph", Graph::run, "latency", Linked::latency,
        "large", Large::run, "alloc", Alloc::run, "mark", Linked::mark, "stops", Linked::stops);

    static String[] words;

    public static void main(String[] given) throws Exception {
        words = given;
        if (words.length < 2 || !programs.containsKey(words[1])) {
            System.err.println("usage: PROGRAM impl benchmark key=value ...");
            System.exit(2);
        }
        System.out.printf("{\"impl\": \"%s\", \"bench\": \"%s\"", words[0], words[1]);
        programs.get(words[1]).run();
        reportStops();
        System.out.println("}");
    }

    static long size(String key) {
        for (String word : words) {
            if (word.startsWith(key + "=")) return Long.parseLong(word.substring(key.length() + 1));
        }
        System.err.println("missing " + key + "=");
        System.exit(2);
        return 0;
    }

    static void add(String key, double value) {
        System.out.printf(java.util.Locale.ROOT, ", \"%s\": %.9e", key, value);
    }

    static void count(String key, long value) {
        System.out.print(", \"" + key + "\": " + Long.toUnsignedString(value));
    }

    static void seconds(long ns) {
        add("seconds", ns * 1e-9);
    }

    static void checksum(long sum) {
        count("checksum", sum);
    }

    static void reportStops() throws Exception {
        long cycles = 0;
        for (GarbageCollectorMXBean collector : ManagementFactory.getGarbageCollectorMXBeans()) {
            cycles += Math.max(0, collector.getCollectionCount());
        }
        count("cycles", cycles);
        String log = System.getProperty("safepoints");
        if (log == null) return;
        Latencies stops = new Latencies();
        Matcher total = Pattern.compile("Safepoint .* Total: +(\\d+) ns").matcher(Files.readString(Path.of(log)));
        while (total.find()) stops.add(Long.parseLong(total.group(1)));
        count("stops", stops.samples);
        if (stops.samples == 0) return;
        add("stop_p50_ns", stops.quantile(0.5));
        add("stop_p999_ns", stops.quantile(0.999));
        count("stop_max_ns", stops.worst);
    }
}
