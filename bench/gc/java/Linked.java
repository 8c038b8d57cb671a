// Live objects linked at random, and what runs beside them: ../cpp/linked.hpp, latency.cpp, mark.cpp, stops.cpp.
// SPDX-License-Identifier: MIT
final class Linked {
    private Linked next, other;
    private final long key;
    private long b, c, d, e, f;  // 64 bytes with the header

    private Linked(long key) {
        this.key = key;
    }

    private static Linked link(int count) {
        Linked[] table = new Linked[count];
        Dice dice = new Dice(count);
        for (int i = 0; i < count; ++i) table[i] = new Linked(i);
        for (int i = count - 1; i > 0; --i) {
            int j = dice.below(i + 1);
            Linked here = table[i];
            table[i] = table[j];
            table[j] = here;
        }
        for (int i = 0; i < count; ++i) {
            table[i].next = table[(i + 1) % count];
            table[i].other = table[dice.below(count)];
        }
        return table[0];
    }

    private static long roundTrip(Linked first, int count) {
        long sum = 0;
        Linked at = first;
        for (int i = 0; i < count; ++i) {
            sum = sum * 31 + at.key + at.other.key;
            at = at.next;
        }
        return at == first ? sum : 0;
    }

    private static final int messageBytes = 1024;
    private static final byte[] master = new byte[messageBytes + 128];

    private static byte[] writeMessage(long order) {
        byte[] message = new byte[messageBytes];
        System.arraycopy(master, (int) (order % 128), message, 0, messageBytes);
        return message;
    }

    private static long exchange(byte[][] ring, long operations, long pace, Latencies waits) {
        long sum = 0;
        int slot = 0;
        long due = System.nanoTime();
        for (long i = 0; i < operations; ++i) {
            if (pace != 0) {
                due += pace;
                while (System.nanoTime() < due) {
                }
            }
            byte[] message = writeMessage(i);
            sum = sum * 31 + ring[slot][(int) (i % messageBytes)];
            ring[slot] = message;
            if (++slot == ring.length) slot = 0;
            long done = System.nanoTime();
            waits.add(done - due);
            if (pace == 0) due = done;
        }
        return sum;
    }

    static void latency() {
        int objects = (int) Main.size("objects");
        long operations = Main.size("operations");
        Linked live = link(objects);
        for (int i = 0; i < master.length; ++i) master[i] = (byte) (i % 101);
        byte[][] ring = new byte[(int) Main.size("messages")][];
        for (int i = 0; i < ring.length; ++i) ring[i] = writeMessage(i);
        Latencies waits = new Latencies();
        long start = System.nanoTime();
        long sum = exchange(ring, operations, Main.size("pace_ns"), waits);
        long spent = System.nanoTime() - start;
        Main.seconds(spent);
        Main.checksum(sum + roundTrip(live, objects));
        Main.add("mean_ns", (double) spent / operations);
        waits.report();
    }

    static void mark() {
        int objects = (int) Main.size("objects");
        Linked live = link(objects);
        System.gc();
        long least = Long.MAX_VALUE, all = 0;
        for (long i = Main.size("rounds"); i > 0; --i) {
            long start = System.nanoTime();
            System.gc();
            long spent = System.nanoTime() - start;
            least = Math.min(least, spent);
            all += spent;
        }
        double perSecond = objects * 1e9 / least;
        Main.seconds(all);
        Main.checksum(roundTrip(live, objects));
        Main.add("collect_ms", least * 1e-6);
        Main.add("million_per_s", perSecond * 1e-6);
        Main.add("gb_per_s", perSecond * 64e-9);
    }

    private static volatile boolean done = false;
    private static Linked dropped;
    private static long steps;

    private static void disturb(Linked first) {
        Linked at = first;
        long i = 0;
        for (; !done; ++i) {
            Linked next = at.next;
            Linked mine = at.other;
            at.other = next.other;
            next.other = mine;
            dropped = new Linked(i);
            at = next;
        }
        steps = Math.max(1, i);  // it may come too late for short cycles
    }

    static void stops() throws InterruptedException {
        int objects = (int) Main.size("objects");
        long most = Main.size("cycles"), limit = Main.size("seconds") * 1_000_000_000L, cycles = 0;
        Linked live = link(objects);
        long start = System.nanoTime();
        Thread other = new Thread(() -> disturb(live));
        other.start();
        while (cycles < most && System.nanoTime() - start < limit) {
            System.gc();
            ++cycles;
        }
        done = true;
        other.join();
        long spent = System.nanoTime() - start;
        long sum = 0;
        Linked at = live;
        for (int i = 0; i < objects; ++i) {
            sum += at.key * 31 + at.other.key;
            at = at.next;
        }
        Main.seconds(spent);
        Main.checksum(sum);
        Main.count("forced", cycles);
        Main.add("cycle_ms", spent * 1e-6 / cycles);
        Main.add("step_ns", (double) spent / steps);
    }
}
