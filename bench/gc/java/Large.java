// Buffers of 1 MB in a window of a few: ../cpp/large.cpp says what this does.
// SPDX-License-Identifier: MIT
final class Large {
    static void run() {
        long buffers = Main.size("buffers");
        int window = (int) Main.size("window"), bytes = (int) Main.size("bytes");
        boolean touch = Main.size("touch") != 0;
        byte[][] held = new byte[window][];
        byte[] master = new byte[bytes];
        java.util.Arrays.fill(master, (byte) 1);
        long sum = 0;
        long start = System.nanoTime();
        for (long i = 0; i < buffers; ++i) {
            byte[] buffer = new byte[bytes];
            byte value = (byte) (i % 100);
            if (touch) System.arraycopy(master, 0, buffer, 0, bytes);
            buffer[0] = value;
            buffer[bytes - 1] = value;
            byte[] old = held[(int) (i % window)];
            if (old != null) sum = sum * 31 + old[0] + old[bytes - 1] + (touch ? old[bytes / 2] : 0);
            held[(int) (i % window)] = buffer;
        }
        long spent = System.nanoTime() - start;
        Main.seconds(spent);
        Main.checksum(sum);
        Main.add("each_us", spent * 1e-3 / buffers);
    }
}
