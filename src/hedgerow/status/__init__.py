"""Health of upstream and gateway, their recent history, and the report and page that show them."""
