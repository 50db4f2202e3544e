BEGIN TRANSACTION;
CREATE TABLE order_schema_promise (
	revision TEXT NOT NULL, 
	runs_since TEXT NOT NULL, 
	PRIMARY KEY (revision)
);
INSERT INTO "order_schema_promise" VALUES('0001','0001');
CREATE TABLE order_schema_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT order_schema_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "order_schema_version" VALUES('0001');
CREATE TABLE orders (
	order_id TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	customer_id TEXT, 
	currency_code TEXT, 
	total_minor_units BIGINT, 
	create_time_us BIGINT NOT NULL, 
	update_time_us BIGINT NOT NULL, 
	items TEXT, 
	delivery_address TEXT, 
	PRIMARY KEY (order_id)
);
INSERT INTO "orders" VALUES('ord_1',1,'PENDING','Ada','EUR',2599,1795667241886636,1795667241886636,'[["TEA",2,1250],["CUP ''blue''",1,99]]','{"recipient":"Ada Łovelace","lines":["Main Street 1","2nd floor"],"locality":"Town","region":"North","postal_code":"1234","country_code":"NL"}');
INSERT INTO "orders" VALUES('ord_2',2,'CONFIRMED','Ada','EUR',2599,1795667241928329,1795667241947176,'[["TEA",2,1250],["CUP ''blue''",1,99]]','{"recipient":"Ada Łovelace","lines":["Main Street 1","2nd floor"],"locality":"Town","region":"North","postal_code":"1234","country_code":"NL"}');
INSERT INTO "orders" VALUES('ord_3',2,'CANCELLED','Ada','EUR',2599,1795667241940128,1795667241951157,'[["TEA",2,1250],["CUP ''blue''",1,99]]','{"recipient":"Ada Łovelace","lines":["Main Street 1","2nd floor"],"locality":"Town","region":"North","postal_code":"1234","country_code":"NL"}');
INSERT INTO "orders" VALUES('ord_9',1,'CANCELLED',NULL,NULL,NULL,1795667241955331,1795667241955331,NULL,NULL);
CREATE INDEX orders_by_time ON orders (create_time_us, order_id);
CREATE INDEX orders_by_customer ON orders (customer_id, create_time_us, order_id);
CREATE INDEX orders_by_state ON orders (state, create_time_us, order_id);
COMMIT;
