BEGIN TRANSACTION;
CREATE TABLE courier_book_fillings (
	place INTEGER NOT NULL, 
	time_us BIGINT NOT NULL, 
	PRIMARY KEY (place)
);
INSERT INTO "courier_book_fillings" VALUES(1,1795667241767863);
CREATE TABLE couriers (
	courier_id TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	country_code TEXT NOT NULL, 
	name TEXT NOT NULL, 
	capacity BIGINT NOT NULL, 
	load BIGINT NOT NULL, 
	PRIMARY KEY (courier_id), 
	CONSTRAINT load_not_negative CHECK (load >= 0), 
	CONSTRAINT load_within_capacity CHECK (load <= capacity)
);
INSERT INTO "couriers" VALUES('crr_nl_1',2,'NL','Lupe Quick',1000,1);
INSERT INTO "couriers" VALUES('crr_nl_2',3,'NL','Milo Sprint',1000,0);
INSERT INTO "couriers" VALUES('crr_nl_3',1,'NL','Ada Swift',1000,0);
INSERT INTO "couriers" VALUES('crr_us_1',1,'US','Emre Arrow',1000,0);
INSERT INTO "couriers" VALUES('crr_us_2',1,'US','Fina Brisk',1000,0);
INSERT INTO "couriers" VALUES('crr_us_3',1,'US','Gus Comet',1000,0);
CREATE TABLE deliveries (
	delivery_id TEXT NOT NULL, 
	version BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	order_id TEXT, 
	courier_id TEXT, 
	reject_reason TEXT, 
	create_time_us BIGINT NOT NULL, 
	update_time_us BIGINT NOT NULL, 
	address TEXT, 
	PRIMARY KEY (delivery_id)
);
INSERT INTO "deliveries" VALUES('dlv_1',1,'ASSIGNED','ord_1','crr_nl_1',NULL,1795667242505266,1795667242505266,'{"recipient":"Ada Łovelace","lines":["Main Street 1","2nd floor"],"locality":"Town","region":"North","postal_code":"1234","country_code":"NL"}');
INSERT INTO "deliveries" VALUES('dlv_2',2,'CANCELLED','ord_2','crr_nl_2',NULL,1795667242535664,1795667242569182,'{"recipient":"Ada Łovelace","lines":["Main Street 1","2nd floor"],"locality":"Town","region":"North","postal_code":"1234","country_code":"NL"}');
INSERT INTO "deliveries" VALUES('dlv_3',1,'REJECTED','ord_3',NULL,'NO_COURIER_AVAILABLE',1795667242554021,1795667242554021,'{"recipient":"Ada Łovelace","lines":["Main Street 1","2nd floor"],"locality":"Town","region":"North","postal_code":"1234","country_code":"AQ"}');
INSERT INTO "deliveries" VALUES('dlv_9',1,'CANCELLED',NULL,NULL,NULL,1795667242597723,1795667242597723,NULL);
CREATE TABLE delivery_schema_promise (
	revision TEXT NOT NULL, 
	runs_since TEXT NOT NULL, 
	PRIMARY KEY (revision)
);
INSERT INTO "delivery_schema_promise" VALUES('0001','0001');
CREATE TABLE delivery_schema_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT delivery_schema_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "delivery_schema_version" VALUES('0001');
CREATE INDEX deliveries_by_time ON deliveries (create_time_us, delivery_id);
CREATE INDEX deliveries_by_order ON deliveries (order_id, create_time_us, delivery_id);
CREATE INDEX deliveries_by_state ON deliveries (state, create_time_us, delivery_id);
CREATE INDEX couriers_by_load ON couriers (country_code, load, courier_id);
COMMIT;
