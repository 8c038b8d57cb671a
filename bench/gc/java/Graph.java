// A graph whose edges change at every step: ../cpp/graph.cpp says what this does.
// SPDX-License-Identifier: MIT
final class Graph {
    private static final class Label {
        final long first;
        long second, third, fourth;

        Label(long value) {
            first = value;
        }
    }

    // Four fields, not an array: an array would be one more object.
    private static final class Node {
        Node a, b, c, d;
        Label label;
        final long key;

        Node(long key) {
            this.key = key;
            label = new Label(key);
        }

        Node edge(int which) {
            switch (which) {
                case 0: return a;
                case 1: return b;
                case 2: return c;
                default: return d;
            }
        }

        void turn(int which, Node to) {
            switch (which) {
                case 0: a = to; break;
                case 1: b = to; break;
                case 2: c = to; break;
                default: d = to;
            }
        }
    }

    private static Node[] build(int count, Dice dice) {
        Node[] table = new Node[count];
        for (int i = 0; i < count; ++i) table[i] = new Node(i);
        for (Node node : table) {
            for (int edge = 0; edge < 4; ++edge) node.turn(edge, table[dice.below(count)]);
        }
        return table;
    }

    private static void write(Node[] table, long writes) {
        for (long i = 0; i < writes; ++i) {
            table[(int) (i & 1023)].turn((int) (i >> 10) & 3, table[(int) (i * 7 + (i >> 10)) & 1023]);
        }
    }

    private static long walk(Node[] table, long steps, Dice dice) {
        long sum = 0;
        Node at = table[0];
        for (long i = 0; i < steps; ++i) {
            int toss = dice.next();
            Node next = at.edge(toss & 3);
            Node other = table[dice.below(table.length)];
            Label old = next.label;
            next.turn((toss >>> 2) & 3, other);
            sum = sum * 31 + old.first + next.key;
            next.label = new Label(sum);
            at = next;
        }
        return sum;
    }

    static void run() {
        int count = (int) Main.size("objects");
        long writes = Main.size("writes"), steps = Main.size("steps");
        Dice dice = new Dice(1);
        long start = System.nanoTime();
        Node[] table = build(count, dice);
        long built = System.nanoTime();
        write(table, writes);
        long written = System.nanoTime();
        long sum = walk(table, steps, dice);
        long end = System.nanoTime();
        Main.seconds(end - start);
        Main.checksum(sum);
        Main.add("write_ns", (double) (written - built) / writes);
        Main.add("step_ns", (double) (end - written) / steps);
    }
}
