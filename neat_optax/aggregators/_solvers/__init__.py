"""Small problems over a Gramian, solved exactly at every scale."""
