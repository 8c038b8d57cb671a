#!/usr/bin/env bash
# perl: hashes, regular expressions, sorting, closures, string growth, fork.
# needs: perl
# SPDX-License-Identifier: MIT
set -eu
export PERL_HASH_SEED=0
exec perl -e '
my $n = $ENV{QUICK} ? 60000 : 250000;
my %h; my $s = 1;
for (1..$n) { $s = ($s * 1103515245 + 12345) % 2147483648; push @{$h{"k".($s % 5003)}}, "v" x ($s % 60); }
my $text = join ",", map { "$_=" . scalar(@{$h{$_}}) } sort keys %h;
print length($text), " ", unpack("%32C*", $text), "\n";
my $c = () = $text =~ /k(\d)\d*=(\d+)/g; print "$c\n";
$text =~ s/(\d+)/sprintf("%x", $1)/ge; print unpack("%32C*", $text), "\n";
my @subs = map { my $x = $_; sub { $x * shift } } 1..5000; my $t = 0; $t += $_->(3) for @subs; print "$t\n";
my $grow = ""; $grow .= "abc$_" for 1..200000; print length($grow), "\n";
delete $h{"k$_"} for 1..4000; print scalar(keys %h), "\n";
for my $i (1..5) { my $pid = fork; if (!$pid) { my @a = map { "x" x $_ } 1..3000; exit @a % 7 } waitpid $pid, 0; print $? >> 8, "\n"; }
'
