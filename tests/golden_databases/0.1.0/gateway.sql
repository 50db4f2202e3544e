BEGIN TRANSACTION;
CREATE TABLE gateway_schema_promise (
	revision TEXT NOT NULL, 
	runs_since TEXT NOT NULL, 
	PRIMARY KEY (revision)
);
INSERT INTO "gateway_schema_promise" VALUES('0002','0001');
CREATE TABLE gateway_schema_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT gateway_schema_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "gateway_schema_version" VALUES('0002');
CREATE TABLE ledger_entries (
	payment_id TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	currency_code TEXT, 
	minor_units BIGINT, 
	payment_method TEXT NOT NULL, 
	decline_reason TEXT, 
	decline_message TEXT, 
	released TEXT NOT NULL, 
	time_us BIGINT NOT NULL, place BIGINT, 
	PRIMARY KEY (payment_id, kind)
);
INSERT INTO "ledger_entries" VALUES('pay_1','HOLD','EUR',2599,'pm_card_visa',NULL,NULL,'NOTHING',1795667241976390,1);
INSERT INTO "ledger_entries" VALUES('pay_2','HOLD','EUR',2599,'pm_card_visa',NULL,NULL,'NOTHING',1795667241988355,1);
INSERT INTO "ledger_entries" VALUES('pay_3','HOLD','EUR',2599,'pm_card_visa',NULL,NULL,'NOTHING',1795667241994871,1);
INSERT INTO "ledger_entries" VALUES('pay_4','HOLD','EUR',2599,'pm_card_visa',NULL,NULL,'NOTHING',1795667242024906,1);
INSERT INTO "ledger_entries" VALUES('pay_5','HOLD','EUR',2599,'pm_card_chargeDeclined','PAYMENT_DECLINED','the card was declined','NOTHING',1795667242093390,1);
INSERT INTO "ledger_entries" VALUES('pay_6','HOLD','EUR',2599,'pm_sandbox_confirmDeclined',NULL,NULL,'NOTHING',1795667242141385,1);
INSERT INTO "ledger_entries" VALUES('pay_2','CAPTURE','EUR',2599,'',NULL,NULL,'NOTHING',1795667242168573,2);
INSERT INTO "ledger_entries" VALUES('pay_3','RELEASE','EUR',2599,'',NULL,NULL,'VOIDED',1795667242201448,2);
INSERT INTO "ledger_entries" VALUES('pay_4','CAPTURE','EUR',2599,'',NULL,NULL,'NOTHING',1795667242242146,2);
INSERT INTO "ledger_entries" VALUES('pay_4','RELEASE','EUR',2599,'',NULL,NULL,'REFUNDED',1795667242317096,3);
INSERT INTO "ledger_entries" VALUES('pay_6','CAPTURE','EUR',2599,'','PAYMENT_DECLINED','the amount was held, but taking it was declined','NOTHING',1795667242351891,2);
CREATE UNIQUE INDEX ledger_places ON ledger_entries (payment_id, place);
COMMIT;
