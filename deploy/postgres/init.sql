-- One database, five roles, and a schema for each: nobody can read another's tables, and none of
-- them can create anything outside of its own schema. The services migrate their tables themselves.
--
-- Run once, on an empty server, by a superuser or by the owner of the database (psql 15 or newer):
--
--   export OMS_ORCHESTRATOR_PASSWORD=... OMS_ORDER_PASSWORD=... OMS_PAYMENT_PASSWORD=... \
--          OMS_GATEWAY_PASSWORD=... OMS_DELIVERY_PASSWORD=...
--   psql --dbname=oms --set=ON_ERROR_STOP=1 --file=init.sql
--
-- The images of PostgreSQL run it by themselves from /docker-entrypoint-initdb.d.

\set ON_ERROR_STOP 1
\getenv orchestrator_password OMS_ORCHESTRATOR_PASSWORD
\getenv order_password OMS_ORDER_PASSWORD
\getenv payment_password OMS_PAYMENT_PASSWORD
\getenv gateway_password OMS_GATEWAY_PASSWORD
\getenv delivery_password OMS_DELIVERY_PASSWORD

BEGIN;

-- The saga log.
CREATE ROLE oms_orchestrator LOGIN PASSWORD :'orchestrator_password';
CREATE SCHEMA oms_orchestrator AUTHORIZATION oms_orchestrator;

CREATE ROLE oms_order LOGIN PASSWORD :'order_password';
CREATE SCHEMA oms_order AUTHORIZATION oms_order;

CREATE ROLE oms_payment LOGIN PASSWORD :'payment_password';
CREATE SCHEMA oms_payment AUTHORIZATION oms_payment;

-- The sandbox gateway's ledger. It stands for the outside world: restore it with nothing else.
CREATE ROLE oms_gateway LOGIN PASSWORD :'gateway_password';
CREATE SCHEMA oms_gateway AUTHORIZATION oms_gateway;

CREATE ROLE oms_delivery LOGIN PASSWORD :'delivery_password';
CREATE SCHEMA oms_delivery AUTHORIZATION oms_delivery;

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format(
    'GRANT CONNECT ON DATABASE %I TO oms_orchestrator, oms_order, oms_payment, oms_gateway, oms_delivery',
    current_database()
) \gexec
REVOKE ALL ON SCHEMA public FROM PUBLIC;

COMMIT;
