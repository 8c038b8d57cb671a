// Objects of one size that are garbage at once: ../cpp/alloc.cpp says what this does.
//
// Java's header of 12 bytes counts into the size; a reference has 4. Each object is stored in a static field, so
// that the compiler cannot keep it in registers.
// SPDX-License-Identifier: MIT
final class Alloc {
    private static class Holder {
        Anchor anchor;  // 16 bytes with the header

        long order() {
            return 0;
        }

        Holder with(Anchor one, long order) {
            anchor = one;
            return this;
        }
    }

    private static final class Anchor {
        long value = 1;
    }

    private static final class Holder32 extends Holder {
        long order, b;

        @Override long order() {
            return order;
        }

        @Override Holder with(Anchor one, long given) {
            order = given;
            return super.with(one, given);
        }
    }

    private static final class Holder64 extends Holder {
        long order, b, c, d, e, f;

        @Override long order() {
            return order;
        }

        @Override Holder with(Anchor one, long given) {
            order = given;
            return super.with(one, given);
        }
    }

    private static Holder held;
    private static byte[] plain;
    private static Object[] array;

    private static long plain(int bytes, long count) {
        long sum = 0;
        int length = Math.max(0, bytes - 16);
        for (long i = 0; i < count; ++i) {
            plain = new byte[length];
            sum += 1 + i;
        }
        return sum;
    }

    private static long holders16(long count) {
        Anchor anchor = new Anchor();
        long sum = 0;
        for (long i = 0; i < count; ++i) {
            held = new Holder().with(anchor, i);
            sum += held.anchor.value + i;
        }
        return sum;
    }

    private static long holders32(long count) {
        Anchor anchor = new Anchor();
        long sum = 0;
        for (long i = 0; i < count; ++i) {
            held = new Holder32().with(anchor, i);
            sum += held.anchor.value + held.order();
        }
        return sum;
    }

    private static long holders64(long count) {
        Anchor anchor = new Anchor();
        long sum = 0;
        for (long i = 0; i < count; ++i) {
            held = new Holder64().with(anchor, i);
            sum += held.anchor.value + held.order();
        }
        return sum;
    }

    private static long arrays(int bytes, long count) {
        Anchor anchor = new Anchor();
        long sum = 0;
        int length = (bytes - 16) / 4;
        for (long i = 0; i < count; ++i) {
            array = new Object[length];
            array[0] = anchor;
            sum += anchor.value + i;
        }
        return sum;
    }

    private static long run(int bytes, boolean typed, long count) {
        if (!typed) return plain(bytes, count);
        switch (bytes) {
            case 16: return holders16(count);
            case 32: return holders32(count);
            case 64: return holders64(count);
            default: return arrays(bytes, count);
        }
    }

    static void run() {
        long count = Main.size("count");
        int bytes = (int) Main.size("bytes");
        boolean typed = Main.size("typed") != 0;
        long start = System.nanoTime();
        long sum = run(bytes, typed, count);
        long spent = System.nanoTime() - start;
        Main.seconds(spent);
        Main.checksum(sum);
        Main.add("each_ns", (double) spent / count);
    }
}
