// Binary trees: ../cpp/trees.cpp says what this does.
// SPDX-License-Identifier: MIT
import java.util.concurrent.atomic.AtomicLong;

final class Trees {
    private static final class Node {
        final Node left, right;

        Node(Node left, Node right) {
            this.left = left;
            this.right = right;
        }

        long count() {
            return left == null ? 1 : 1 + left.count() + right.count();
        }
    }

    private static Node bottomUp(int depth) {
        if (depth == 0) return new Node(null, null);
        Node left = bottomUp(depth - 1);
        Node right = bottomUp(depth - 1);
        return new Node(left, right);
    }

    private static long share(int depth, int index, int threads) {
        long nodes = 0;
        for (int d = 4; d <= depth; d += 2) {
            long trees = 1L << (depth - d + 4);
            for (long i = index; i < trees; i += threads) nodes += bottomUp(d).count();
        }
        return nodes;
    }

    static void run() throws InterruptedException {
        int depth = (int) Main.size("depth"), threads = (int) Main.size("threads");
        long start = System.nanoTime();
        AtomicLong nodes = new AtomicLong(bottomUp(depth + 1).count());
        Node lasting = bottomUp(depth);
        if (threads == 1) {
            nodes.addAndGet(share(depth, 0, 1));
        } else {
            Thread[] all = new Thread[threads];
            for (int t = 0; t < threads; ++t) {
                int index = t;
                all[t] = new Thread(() -> nodes.addAndGet(share(depth, index, threads)));
                all[t].start();
            }
            for (Thread thread : all) thread.join();
        }
        nodes.addAndGet(lasting.count());
        Main.seconds(System.nanoTime() - start);
        Main.checksum(nodes.get());
    }
}
