# Perl strings, hashes and arrays: a text cut into words, counted, sorted, joined again; prints a checksum.
# SPDX-License-Identifier: MIT
use strict;
use warnings;

my $scale = shift;
my $seed = 42;
sub dice { $seed = $seed * 16807 % 2147483647; return $seed % $_[0]; }

my $check = 0;
for my $turn (1 .. ($scale < 100 ? 1 : 4)) {
    my (%lines, %count);
    for my $i (1 .. 250 * $scale) {
        my $word = "w" . dice(9000) . ("ab" x dice(12));
        push @{ $lines{$word} }, $i;
        $count{ substr($word, 0, 3) }++;
    }
    my @sorted = sort { @{ $lines{$b} } <=> @{ $lines{$a} } || $a cmp $b } keys %lines;
    my $text = join(" ", map { "$_:" . join(",", @{ $lines{$_} }) } @sorted);
    my @parts = split / /, $text;
    my %back = map { my ($w, $l) = split /:/; ($w => [split /,/, $l]) } @parts;
    for my $w (sort keys %back) {
        $check = ($check * 31 + @{ $back{$w} } + length $w) % 1000000007;
    }
    $check = ($check + length $text) % 1000000007;
}
print "$check\n";
