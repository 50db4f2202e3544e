"""The payment service: holds, takes and gives back money through a payment gateway."""
