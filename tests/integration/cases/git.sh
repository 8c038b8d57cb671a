#!/usr/bin/env bash
# git: commits with fixed dates, branches, merge, log, diff, repack, fsck, clone; all ids must be equal.
# needs: git
# SPDX-License-Identifier: MIT
set -eu
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.org
export GIT_CONFIG_NOSYSTEM=1 GIT_PAGER=cat
at() { export GIT_AUTHOR_DATE="2024-01-01T00:00:$1Z" GIT_COMMITTER_DATE="2024-01-01T00:00:$1Z"; }
git init -q -b main repository
cd repository
git config pack.threads 1
for i in $(seq 10 30); do
  at "$i"
  mkdir -p "folder$((i % 4))"
  seq 1 $((i * 100)) > "folder$((i % 4))/file$((i % 7)).txt"
  head -c $((i * 5000)) /dev/zero | tr '\0' "$(printf "\\$(printf %o $((i + 60)))")" > "large$((i % 3)).bin"
  git add -A
  git commit -q -m "change $i"
done
git checkout -q -b side HEAD~5
at 40; echo other > other.txt; git add other.txt; git commit -q -m side
git checkout -q main
at 41; git merge -q --no-edit side
git log --stat --format='%H %T %s'
git diff HEAD~3 --stat
git grep -c 77 | sort | head -20
git gc --quiet
git fsck --full --strict 2>&1 | sort
git count-objects -v | grep -v size
cd ..
git clone -q repository copy
git -C copy rev-list --all --objects | sort | sha256sum
git -C copy blame folder1/file1.txt | tail -5
