// The GCBench-like mix: ../cpp/mix.cpp says what this does.
// SPDX-License-Identifier: MIT
final class Mix {
    private static final class Node {
        Node left, right;
        final int depth, order;

        Node(Node left, Node right, int depth, int order) {
            this.left = left;
            this.right = right;
            this.depth = depth;
            this.order = order;
        }

        void grow(int levels) {
            if (levels == 0) return;
            left = new Node(null, null, levels, 1);
            right = new Node(null, null, levels, 2);
            left.grow(levels - 1);
            right.grow(levels - 1);
        }

        long path() {
            long sum = 0;
            boolean turn = true;
            for (Node at = this; at != null; turn = !turn) {
                sum = sum * 3 + at.depth * 8 + at.order;
                at = turn ? at.left : at.right;
            }
            return sum;
        }
    }

    private static Node fromTop(int depth) {
        Node root = new Node(null, null, depth, 3);
        root.grow(depth);
        return root;
    }

    private static Node fromBottom(int depth) {
        if (depth == 0) return new Node(null, null, 0, 4);
        Node left = fromBottom(depth - 1);
        Node right = fromBottom(depth - 1);
        return new Node(left, right, depth, 5);
    }

    private static long nodesOf(int depth) {
        return (2L << depth) - 1;
    }

    static void run() {
        int depth = (int) Main.size("depth"), numbers = (int) Main.size("numbers");
        long share = Main.size("share");
        long start = System.nanoTime();
        long sum = fromBottom(depth).path();
        Node lasting = fromTop(depth - 2);
        double[] array = new double[numbers];
        for (int i = 1; i <= numbers / 2; ++i) array[i] = 1.0 / i;
        for (int d = 4; d <= depth - 2; d += 2) {
            long trees = share * nodesOf(depth) / nodesOf(d);
            for (long i = 0; i < trees; ++i) sum += fromTop(d).path();
            for (long i = 0; i < trees; ++i) sum += fromBottom(d).path();
        }
        sum += lasting.path() + (long) (array[1000] * 1e6);
        Main.seconds(System.nanoTime() - start);
        Main.checksum(sum);
    }
}
