"""What protocols of jobs share: free-form inputs and outputs, jobs remembered, pictures handed out by address."""
