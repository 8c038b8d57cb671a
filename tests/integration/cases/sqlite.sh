#!/usr/bin/env bash
# sqlite3 fills tables, builds indexes, joins, sorts, deletes and vacuums; the database file must be equal as well.
# needs: sqlite3 sha256sum
# files: *.db
# SPDX-License-Identifier: MIT
set -eu
rows=200000; [ "${QUICK:-}" ] && rows=60000
sqlite3 test.db <<SQL
PRAGMA cache_size = -20000;
CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT, price REAL, body BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $rows)
INSERT INTO item SELECT i, printf('item %d of %x', i, i * 2654435761 % 4294967296), (i * 7919 % 10007) / 7.0,
  substr(hex(i * 48271 % 2147483647) || hex(zeroblob(i % 90)), 1, i % 200) FROM n;
CREATE INDEX by_price ON item(price, name);
SELECT count(*), sum(length(body)), round(avg(price), 6) FROM item;
SELECT a.id, b.id FROM item a JOIN item b ON a.price = b.price AND a.id < b.id ORDER BY a.name LIMIT 50;
SELECT group_concat(name, ';') FROM (SELECT name FROM item WHERE id % 997 = 3 ORDER BY body DESC);
SELECT json_group_array(json_object('id', id, 'price', price)) FROM item WHERE id % 5003 = 1;
CREATE VIRTUAL TABLE words USING fts5(body);
INSERT INTO words SELECT name || ' ' || id % 100 FROM item WHERE id % 10 = 0;
SELECT count(*) FROM words WHERE words MATCH 'item AND 70';
DELETE FROM item WHERE id % 3 = 0;
UPDATE item SET name = upper(name) WHERE id % 7 = 0;
VACUUM;
PRAGMA integrity_check;
SQL
sqlite3 test.db .dump | sha256sum
