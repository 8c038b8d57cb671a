-- An in-memory database: rows by the ten thousand, indexes, joins, groups, texts, deletes; prints sums.
-- @ROWS@ is set by the benchmark.
-- SPDX-License-Identifier: MIT
PRAGMA temp_store = memory;
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT, note TEXT);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER, item TEXT, amount REAL, day INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < @ROWS@ / 10)
  INSERT INTO customer SELECT i, 'name' || (i * 7919 % 100003), 'city' || (i % 97),
    substr('the quick brown fox jumps over the lazy dog', 1, i % 43) FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < @ROWS@)
  INSERT INTO orders SELECT i, 1 + i * 31 % (@ROWS@ / 10), 'item' || (i % 1009),
    (i * 37 % 10000) / 100.0, i % 365 FROM n;
CREATE INDEX orders_customer ON orders (customer);
CREATE INDEX orders_item ON orders (item, day);
CREATE INDEX customer_name ON customer (name);
SELECT count(*), sum(amount) FROM orders;
SELECT city, count(*), round(sum(amount), 2) FROM customer JOIN orders ON customer = customer.id
  GROUP BY city ORDER BY 3 DESC, 1 LIMIT 10;
SELECT item, max(day), round(avg(amount), 4) FROM orders GROUP BY item ORDER BY item LIMIT 10;
SELECT length(group_concat(name, ',')) FROM (SELECT name FROM customer ORDER BY name);
UPDATE customer SET note = upper(note) || name WHERE id % 3 = 0;
UPDATE orders SET item = item || '-' || day WHERE id % 5 = 0;
DELETE FROM orders WHERE id % 7 = 0;
SELECT sum(length(note)) FROM customer;
SELECT count(DISTINCT item), sum(length(item)) FROM orders;
SELECT customer.name, count(*) c FROM orders JOIN customer ON customer.id = orders.customer
  WHERE item LIKE '%7%' GROUP BY customer.name ORDER BY c DESC, 1 LIMIT 5;
