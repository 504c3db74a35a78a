"""From a score to an offer: scale, grade, limit, price, reasons, decision."""
