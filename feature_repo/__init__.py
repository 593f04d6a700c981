"""What is known: definitions, event tables, offline tables, the identity vault. Imports from nobody else here."""
