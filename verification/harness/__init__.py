"""What campaigns share: programs under test, loads, requests and responses that attack, and the record of results."""
